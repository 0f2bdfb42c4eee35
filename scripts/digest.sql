-- One line that stands for everything logical in a PostgreSQL database: rows, sequences, large objects and
-- the definition of every object with its owner, rights and comment. Two databases with the same line hold
-- the same content; no order of rows or objects, oid, file or statistic enters it.
--
--   psql -X -A -t -f digest.sql                 the digest (as a superuser, or the owner of everything)
--   psql -X -A -t -v database=1 -f digest.sql   with what belongs to the database itself: owner, encoding, settings, …
--   psql -X -A -t -v detail=1 -f digest.sql     the lines it is made of: `diff` two of these to see what changed
--
-- It reads only, in one snapshot. What belongs to an extension is covered by the extension's name and version.
-- Definitions are compared as PostgreSQL prints them; the few expressions that it prints differently once they
-- were dumped and restored (varchar IN (…) in a CHECK, for one) would show as a change. PostgreSQL 14 up; compare
-- within one major version, because a newer one adds rights and constraints of its own.

\set QUIET on
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\if :{?detail} \else \set detail 0 \endif
\if :{?database} \else \set database 0 \endif

SET client_min_messages = warning;
SET search_path = '';          -- every name comes out qualified
SET row_security = off;        -- an error rather than a part of the rows
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
SET bytea_output = 'hex';
SET extra_float_digits = 1;
SET lc_monetary = 'C';
SET client_encoding = 'UTF8';
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- Rows and sequences need one query per table: they are written here and run below. A row's hash is half
-- an MD5 of its text; the sum over a table does not depend on the order, and counts duplicates.
SELECT coalesce(string_agg(CASE relkind
    WHEN 'S' THEN format('SELECT %L, last_value::text || '' '' || is_called FROM %I.%I', 'sequence ' || name, schema, relname)
    ELSE format($$SELECT %L, count(*) || ' ' || coalesce(sum(('x' || left(md5(ROW(digested.*)::text), 16))::bit(64)::bigint), 0) FROM ONLY %I.%I AS digested$$,
      'rows ' || name, schema, relname)
  END, ' UNION ALL '), 'SELECT NULL, NULL WHERE false') AS content
FROM (
  SELECT c.*, n.nspname AS schema, format('%I.%I', n.nspname, relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind IN ('r', 'm', 'S') AND relispopulated AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
) AS holding \gset

WITH
-- Objects that are somebody's: not the system's, not an extension's.
mine AS MATERIALIZED (
  SELECT catalog.classid, catalog.oid, catalog.nsp
  FROM (
    SELECT 'pg_class'::regclass AS classid, oid, relnamespace AS nsp FROM pg_class
    UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type
    UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator
    UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace FROM pg_collation
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxnamespace FROM pg_statistic_ext
  ) AS catalog JOIN pg_namespace n ON n.oid = nsp
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = catalog.classid AND d.objid = catalog.oid AND d.deptype = 'e')
),
relation AS MATERIALIZED (
  SELECT c.*, format('%I.%I', n.nspname, relname) AS name
  FROM mine JOIN pg_class c ON c.oid = mine.oid AND mine.classid = 'pg_class'::regclass JOIN pg_namespace n ON n.oid = relnamespace
),
routine AS (
  SELECT p.*, p.oid::regprocedure::text AS name FROM mine JOIN pg_proc p ON p.oid = mine.oid AND mine.classid = 'pg_proc'::regclass
),
type AS (
  SELECT t.*, t.oid::regtype::text AS name FROM mine JOIN pg_type t ON t.oid = mine.oid AND mine.classid = 'pg_type'::regclass
  WHERE typelem = 0 AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = typrelid AND relkind <> 'c') -- no table's row type, no array
),
-- Rights as a set, the built-in ones spelled out: NULL and an explicit default are the same rights.
rights AS (
  SELECT what, string_agg(concat_ws(' ', grantee.rolname, grantor.rolname, privilege_type, is_grantable), ', '
    ORDER BY grantee.rolname, grantor.rolname, privilege_type, is_grantable) AS held
  FROM (
    SELECT 'schema ' || quote_ident(nspname), coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
      WHERE (nspname !~ '^pg_' AND nspname <> 'information_schema')
    UNION ALL SELECT 'relation ' || name, coalesce(relacl, acldefault((CASE relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", relowner)) FROM relation
      WHERE relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
    UNION ALL SELECT 'column ' || name || ' ' || quote_ident(attname), attacl FROM relation JOIN pg_attribute ON attrelid = relation.oid
    UNION ALL SELECT 'routine ' || name, coalesce(proacl, acldefault('f', proowner)) FROM routine
    UNION ALL SELECT 'type ' || name, coalesce(typacl, acldefault('T', typowner)) FROM type
    UNION ALL SELECT 'large object ' || oid, coalesce(lomacl, acldefault('L', lomowner)) FROM pg_largeobject_metadata
    UNION ALL SELECT 'language ' || lanname, lanacl FROM pg_language
    UNION ALL SELECT concat_ws(' ', 'default', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype), defaclacl FROM pg_default_acl
    UNION ALL SELECT 'database', coalesce(datacl, acldefault('d', datdba)) FROM pg_database WHERE datname = current_database() AND :database::int = 1
  ) AS held (what, acl), aclexplode(acl) AS item
  LEFT JOIN pg_roles AS grantee ON grantee.oid = item.grantee LEFT JOIN pg_roles AS grantor ON grantor.oid = item.grantor
  GROUP BY what
),
line (what, value) AS (
  SELECT * FROM (:content) AS content (what, value)
  UNION ALL SELECT 'rights ' || what, held FROM rights
  UNION ALL SELECT 'schema ' || quote_ident(nspname), nspowner::regrole::text FROM pg_namespace
    WHERE (nspname !~ '^pg_' AND nspname <> 'information_schema')
  UNION ALL SELECT 'extension ' || quote_ident(extname), extversion || ' ' || extnamespace::regnamespace FROM pg_extension

  UNION ALL SELECT 'relation ' || name, concat_ws(' ', relkind, relowner::regrole, relpersistence, 'rls', relrowsecurity, relforcerowsecurity,
      'replica', relreplident, 'filled', relispopulated, 'of', nullif(reloftype, 0)::regtype, 'options', reloptions,
      pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid),
      (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = relation.oid))
    FROM relation WHERE relkind <> 'I' AND relkind <> 'i'
  UNION ALL SELECT format('column %s %s', name, row_number() OVER (PARTITION BY attrelid ORDER BY attnum)),
      concat_ws(' ', quote_ident(attname), format_type(atttypid, atttypmod), 'collation', nullif(attcollation, 0)::regcollation,
        'not null', attnotnull, 'identity', attidentity, 'generated', attgenerated, 'default', pg_get_expr(adbin, adrelid),
        'storage', attstorage, attcompression, 'statistics', coalesce(attstattarget, -1),
        -- the two documented options: 15.20 keeps a counter of its own (pg_attver) beside them, which is no content
        (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(attoptions) AS o WHERE o LIKE 'n\_distinct%'))
    FROM relation JOIN pg_attribute ON attrelid = relation.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'v', 'm', 'p', 'f', 'c') AND attnum > 0 AND NOT attisdropped
  UNION ALL SELECT 'sequence of ' || name, concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
      (SELECT format('%s %s %I', deptype, refobjid::regclass, attname) FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE classid = 'pg_class'::regclass AND objid = relation.oid AND deptype IN ('a', 'i') AND refobjsubid > 0))
    FROM relation JOIN pg_sequence ON seqrelid = relation.oid
  UNION ALL SELECT 'view ' || name, pg_get_viewdef(oid) FROM relation WHERE relkind IN ('v', 'm')
  UNION ALL SELECT 'index ' || indexrelid::regclass, concat_ws(' ', pg_get_indexdef(indexrelid), 'clustered', indisclustered, 'valid', indisvalid,
      'replica', indisreplident)
    FROM relation JOIN pg_index ON indrelid = relation.oid
  UNION ALL SELECT format('constraint %s %s %I', conrelid::regclass, nullif(contypid, 0)::regtype, conname),
      concat_ws(' ', pg_get_constraintdef(oid), 'inherited', coninhcount, conislocal)
    FROM pg_constraint WHERE conrelid IN (SELECT oid FROM relation) OR contypid IN (SELECT oid FROM type)
  UNION ALL SELECT format('trigger %s %I', name, tgname), concat_ws(' ', pg_get_triggerdef(pg_trigger.oid), tgenabled)
    FROM relation JOIN pg_trigger ON tgrelid = relation.oid WHERE NOT tgisinternal
  UNION ALL SELECT format('rule %s %I', name, rulename), concat_ws(' ', pg_get_ruledef(pg_rewrite.oid), ev_enabled)
    FROM relation JOIN pg_rewrite ON ev_class = relation.oid WHERE rulename <> '_RETURN'
  UNION ALL SELECT format('policy %I.%I %I', schemaname, tablename, policyname), concat_ws(' ', permissive, roles, cmd, 'using', qual, 'check', with_check)
    FROM pg_policies

  UNION ALL SELECT 'routine ' || name, concat_ws(' ', proowner::regrole, CASE prokind WHEN 'a' THEN
      (SELECT concat_ws(' ', aggkind, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggtranstype::regtype, agginitval, aggsortop::regoperator,
        pg_get_function_arguments(routine.oid), pg_get_function_result(routine.oid), proparallel) FROM pg_aggregate WHERE aggfnoid = routine.oid)
      ELSE pg_get_functiondef(oid) END)
    FROM routine
  UNION ALL SELECT 'type ' || name, concat_ws(' ', typtype, typowner::regrole, nullif(typbasetype, 0)::regtype,
      CASE WHEN typbasetype <> 0 THEN format_type(typbasetype, typtypmod) END, typnotnull, typdefault, nullif(typcollation, 0)::regcollation,
      (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = type.oid),
      (SELECT concat_ws(' ', rngsubtype::regtype, rngmultitypid::regtype, nullif(rngcollation, 0)::regcollation, rngcanonical, rngsubdiff)
        FROM pg_range WHERE rngtypid = type.oid))
    FROM type
  UNION ALL SELECT 'operator ' || o.oid::regoperator, concat_ws(' ', oprowner::regrole, oprcode, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash)
    FROM mine JOIN pg_operator o ON o.oid = mine.oid AND mine.classid = 'pg_operator'::regclass
  UNION ALL SELECT 'collation ' || c.oid::regcollation, concat_ws(' ', collowner::regrole, collprovider, collisdeterministic, collencoding, collcollate, collctype)
    FROM mine JOIN pg_collation c ON c.oid = mine.oid AND mine.classid = 'pg_collation'::regclass
  UNION ALL SELECT 'statistics ' || quote_ident(stxname), concat_ws(' ', stxowner::regrole, pg_get_statisticsobjdef(s.oid), coalesce(stxstattarget, -1))
    FROM mine JOIN pg_statistic_ext s ON s.oid = mine.oid AND mine.classid = 'pg_statistic_ext'::regclass
  UNION ALL SELECT 'event trigger ' || quote_ident(evtname), concat_ws(' ', evtowner::regrole, evtevent, evtfoid::regprocedure, evtenabled, evttags) FROM pg_event_trigger
  UNION ALL SELECT 'publication ' || quote_ident(pubname), concat_ws(' ', pubowner::regrole, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
      (SELECT string_agg(format('%I.%I', schemaname, tablename), ', ' ORDER BY schemaname, tablename) FROM pg_publication_tables t WHERE t.pubname = p.pubname))
    FROM pg_publication p
  UNION ALL SELECT 'cast ' || format('%s as %s', castsource::regtype, casttarget::regtype), concat_ws(' ', nullif(castfunc, 0)::regprocedure, castcontext, castmethod)
    FROM pg_cast c WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_cast'::regclass AND objid = c.oid AND deptype = 'e')

  UNION ALL SELECT 'large object ' || oid, concat_ws(' ', lomowner::regrole, length(lo_get(oid)), md5(lo_get(oid))) FROM pg_largeobject_metadata
  UNION ALL SELECT 'comment on ' || concat_ws(' ', o.type, o.identity), description
    FROM pg_description d, pg_identify_object(classoid, objoid, objsubid) AS o
    WHERE (objoid >= 16384 OR (classoid = 'pg_namespace'::regclass AND objoid = 'public'::regnamespace)) -- the first oid that is not the system's
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = classoid AND e.objid = objoid AND e.deptype = 'e')

  UNION ALL SELECT 'database', concat_ws(' ', datdba::regrole, pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, datallowconn, datistemplate,
      shobj_description(oid, 'pg_database'))
    FROM pg_database WHERE datname = current_database() AND :database::int = 1
  UNION ALL SELECT 'database setting ' || coalesce(nullif(setrole, 0)::regrole::text, ''), (SELECT string_agg(s, ', ' ORDER BY s) FROM unnest(setconfig) AS s)
    FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database() AND :database::int = 1
)
\if :detail
SELECT replace(what, E'\n', '\n') || ' = ' || replace(value, E'\n', '\n') FROM line ORDER BY what COLLATE "C", value COLLATE "C";
\else
SELECT encode(sha256(convert_to(coalesce(string_agg(quote_literal(what) || coalesce(quote_literal(value), ''), E'\n' ORDER BY what COLLATE "C", value COLLATE "C"), ''), 'UTF8')), 'hex')
FROM line;
\endif
COMMIT;
