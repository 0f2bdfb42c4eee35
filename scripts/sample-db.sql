-- A shop's database as a backup tool meets it: ordinary bulk, and every kind of object that a dump, a
-- copy or a swap is known to lose. Everything is made from md5() and counters: the same at every load.
--
--   psql -X -q -v ON_ERROR_STOP=1 [-v scale=14] -f sample-db.sql     (as a superuser, into an empty database)
--
-- scale 1 (the default) is about 140,000 rows and a plain dump of 41 MB; scale 14 is 0.5 GiB. All bulk
-- grows with it, the oddities stay as they are. Works from PostgreSQL 14 up, with the contrib modules.

\set ON_ERROR_STOP on
\if :{?scale} \else \set scale 1 \endif
SET client_min_messages = warning;
SET synchronous_commit = off;
SET TimeZone = 'UTC';
SET standard_conforming_strings = on;

-- Roles belong to the server, not to the database: another load may have made them.
DO $$
BEGIN
  IF to_regrole('shop_reader') IS NULL THEN CREATE ROLE shop_reader NOLOGIN; END IF;
  IF to_regrole('"Night Shift"') IS NULL THEN CREATE ROLE "Night Shift" NOLOGIN; END IF;
END $$;

CREATE SCHEMA shop;
CREATE TYPE shop.event_kind AS ENUM ('view', 'cart', 'order', 'refund', 'it''s "complicated"', 'naïve ☕');
ALTER TYPE shop.event_kind ADD VALUE 'late addition' BEFORE 'cart'; -- sorts by a fraction; usable once committed

BEGIN;
CREATE SCHEMA "Ünï schéma; --";
COMMENT ON SCHEMA shop IS E'The shop''s own schema.\nSecond line, "quoted" \\ back\\slashed; — 🛒';
GRANT USAGE ON SCHEMA shop TO shop_reader, "Night Shift";
SET LOCAL search_path = shop, public;

CREATE EXTENSION hstore WITH SCHEMA public;
CREATE EXTENSION citext WITH SCHEMA public;
CREATE EXTENSION btree_gist WITH SCHEMA public;
COMMENT ON EXTENSION hstore IS 'a comment that is not the packaged one';

-- Types ---------------------------------------------------------------------------------------------------

CREATE TYPE address AS (street text, "post code" text, country char(2));
CREATE DOMAIN email AS text COLLATE "C" CHECK (VALUE ~ '^[^@\s]+@[^@\s]+$') NOT NULL;
CREATE DOMAIN positive AS numeric(12, 2) DEFAULT 1.00 CONSTRAINT "more than nothing" CHECK (VALUE > 0);
CREATE TYPE price_range AS RANGE (subtype = numeric, multirange_type_name = price_ranges);
COMMENT ON TYPE event_kind IS 'what happened';
COMMENT ON DOMAIN positive IS 'never zero';
COMMENT ON CONSTRAINT "more than nothing" ON DOMAIN positive IS 'a comment on a domain''s constraint';
GRANT USAGE ON TYPE address TO shop_reader;

-- Prose: a word list drawn from with a bias to its start, so that it compresses as language does -------------

CREATE FUNCTION prose(seed bigint, words integer) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $prose$
  SELECT string_agg(w[1 + floor(cardinality(w) * power((hashint8extended(seed, n) & 1048575) / 1048576.0::float8, 1.6))::int], ' ')
  FROM generate_series(1, words) AS n, string_to_array(
    'the of and to a in is it you that was for on are with as order customer they be at one have this from or '
    'had by not but some what there we can out other were all your when up use word how said an each she '
    'parcel delivery refund invoice address payment warehouse supplier price discount broken missing late '
    'again please thanks morning evening yesterday tomorrow colour green blue yellow wooden metal paper '
    'window kitchen garden bicycle lantern carpet pillow teapot quickly slowly almost never always perhaps '
    'another question answer problem solution courier doorbell neighbour signature tracking number account '
    'password newsletter birthday present wrapping ribbon card message voucher expired renewed cancelled '
    'subscription monthly yearly receipt attachment photograph damaged corner scratch replacement warranty '
    'repair workshop screwdriver battery charger adapter cable instruction manual language français größe '
    'señor café naïve Zürich smörgåsbord Łódź Ελλάδα Москва 東京 🙂', ' ') AS w
$prose$;

-- Bulk ------------------------------------------------------------------------------------------------------

CREATE TABLE customers (
  id uuid PRIMARY KEY,
  forgotten text, -- dropped below: a hole among the columns
  name text NOT NULL CHECK (length(name) > 0),
  email email,
  nick citext,
  home address,
  phones text[] NOT NULL DEFAULT '{}',
  profile jsonb NOT NULL DEFAULT '{}',
  labels hstore,
  invited_by uuid REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
  joined_at timestamptz NOT NULL,
  CHECK (email = lower(email)) NO INHERIT
);
INSERT INTO customers
  SELECT md5('customer ' || i)::uuid, 'x', initcap(prose(i, 2)) || ' O''' || i, 'user' || i || '@example.org',
    CASE WHEN i % 3 = 0 THEN 'Nick' || i END, ROW(prose(-i, 3), lpad((i % 99999)::text, 5, '0'), 'DE')::address,
    CASE i % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['+49 30 ' || i, NULL, '"quoted, {braced}"'] ELSE ARRAY['+1 ' || i] END,
    jsonb_build_object('note', prose(i, 12), 'token', md5(i::text), 'score', i / 7.0, 'tags', jsonb_build_array(i, NULL, 'é')),
    hstore('locale', 'de_DE') || hstore('weird => "key"', prose(i, 1)),
    CASE WHEN i % 5 = 0 THEN md5('customer ' || (i + 1) % (3000 * :scale))::uuid END, -- mostly somebody further down
    timestamptz '2019-03-31 00:59:59.123456+00' + i * interval '7 hours 13 minutes 7.000001 seconds'
  FROM generate_series(0, 3000 * :scale - 1) AS i;
SET CONSTRAINTS ALL IMMEDIATE; -- else their checks are pending, and the table must not change
ALTER TABLE customers DROP COLUMN forgotten;

CREATE SEQUENCE "Odd Seq" AS smallint INCREMENT BY -3 MINVALUE -32768 MAXVALUE 12 START WITH 12 CYCLE CACHE 5;
CREATE TABLE products (
  id integer GENERATED BY DEFAULT AS IDENTITY (START WITH 1000 INCREMENT BY 7) PRIMARY KEY,
  rank smallint DEFAULT nextval('"Odd Seq"'),
  title text NOT NULL,
  price positive,
  vat numeric(4, 3) NOT NULL DEFAULT 0.19,
  gross numeric GENERATED ALWAYS AS (round(price * (1 + vat), 2)) STORED,
  sold_in price_ranges,
  picture bytea,
  retired boolean NOT NULL DEFAULT false
);
ALTER TABLE products ALTER picture SET STORAGE EXTERNAL;
INSERT INTO products (title, price, vat, sold_in, retired)
  SELECT prose(i * 31, 3) || ' #' || i, (i % 400) + 0.99, (ARRAY[0.19, 0.07, 0])[1 + i % 3],
    price_ranges(price_range(i, i + 2.5), price_range(i + 10, NULL)), i % 17 = 0
  FROM generate_series(1, 500 * :scale) AS i;

CREATE TABLE orders (
  id bigserial PRIMARY KEY,
  customer_id uuid NOT NULL,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'paid', 'sent')),
  ship_to address[],
  placed_at timestamptz NOT NULL,
  remark text
);
INSERT INTO orders (customer_id, state, ship_to, placed_at, remark)
  SELECT md5('customer ' || i % (3000 * :scale))::uuid, (ARRAY['open', 'paid', 'sent'])[1 + i % 3],
    CASE WHEN i % 9 = 0 THEN ARRAY[ROW('a "b", (c)', NULL, 'FR'), ROW(E'tab\there', '', 'US')]::address[] END,
    timestamptz '2023-01-01 00:00+00' + i * interval '61 minutes', CASE WHEN i % 2 = 0 THEN prose(i, 15) END
  FROM generate_series(1, 9000 * :scale) AS i;

CREATE TABLE order_items (
  order_id bigint NOT NULL,
  line smallint NOT NULL,
  product_id integer NOT NULL,
  quantity integer NOT NULL DEFAULT 1,
  unit_price numeric(12, 2) NOT NULL,
  PRIMARY KEY (order_id, line)
);
INSERT INTO order_items
  SELECT o, l, 1000 + 7 * ((o * 13 + l) % (500 * :scale)), 1 + (o + l) % 4, ((o * 7 + l) % 40000) / 100.0
  FROM generate_series(1, 9000 * :scale) AS o, generate_series(1, 1 + o % 3) AS l;

CREATE TABLE events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind event_kind NOT NULL,
  at timestamptz NOT NULL,
  customer_id uuid,
  session uuid NOT NULL,
  payload jsonb NOT NULL,
  fingerprint bytea NOT NULL,
  duration float8
);
INSERT INTO events (kind, at, customer_id, session, payload, fingerprint, duration)
  SELECT (enum_range(NULL::event_kind))[1 + i % 7], timestamptz '2024-02-29 23:59:60+00' + i * interval '97.31 seconds',
    CASE WHEN i % 4 > 0 THEN md5('customer ' || i % (3000 * :scale))::uuid END, md5('session ' || i / 6)::uuid,
    jsonb_build_object('note', prose(i, 12 + (i % 9)::int), 'ip', '10.' || i % 7 || '.' || i % 251 || '.' || i % 13, 'step', i % 6),
    sha256(i::text::bytea), ln(i) / 3
  FROM generate_series(1, 104000 * :scale::bigint) AS i;

-- Partitions: by range, with a default, one partition partitioned again.
CREATE TABLE page_views (day date NOT NULL, path text NOT NULL, hits integer NOT NULL, PRIMARY KEY (day, path)) PARTITION BY RANGE (day);
CREATE TABLE page_views_2024 PARTITION OF page_views FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE page_views_2025 PARTITION OF page_views FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (path);
CREATE TABLE page_views_2025_even PARTITION OF page_views_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE page_views_2025_odd PARTITION OF page_views_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE page_views_else PARTITION OF page_views DEFAULT;
INSERT INTO page_views
  SELECT date '2023-12-01' + i % 900, '/p/' || i / 900 || '/' || replace(prose(i, 2), ' ', '-'), i % 1000
  FROM generate_series(1, 6000 * :scale) AS i;

-- Noise that no compressor helps with.
UPDATE products SET picture = (SELECT string_agg(sha256((products.id || ':' || n)::bytea), '') FROM generate_series(1, 64 + products.id % 300) AS n)
  WHERE id % 4 = 0;

ALTER TABLE orders ADD CONSTRAINT "orders → customers" FOREIGN KEY (customer_id) REFERENCES customers ON UPDATE CASCADE;
ALTER TABLE order_items ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE, ADD FOREIGN KEY (product_id) REFERENCES products;
ALTER TABLE order_items ADD CONSTRAINT checked_later CHECK (quantity > 1) NOT VALID;
CREATE UNIQUE INDEX customers_email ON customers (lower(email)) INCLUDE (name);
CREATE UNIQUE INDEX one_nick ON customers (nick) WHERE nick IS NOT NULL;
CREATE INDEX "orders; by date" ON orders (placed_at DESC NULLS LAST, state COLLATE "C") WITH (fillfactor = 70);
CREATE INDEX products_title_words ON products USING gin (to_tsvector('simple', title));
CREATE INDEX events_at ON events USING brin (at);
CREATE STATISTICS order_stats (dependencies, ndistinct) ON customer_id, state FROM orders;
CLUSTER order_items USING order_items_pkey;
ALTER TABLE events ALTER session SET STATISTICS 40, ALTER kind SET (n_distinct = 7);
ALTER TABLE orders SET (autovacuum_vacuum_scale_factor = 0.05);

-- Oddities: small tables, each for one trap -----------------------------------------------------------------

CREATE TABLE "Weird ""Name"" with spaces; DROP TABLE x; --" (
  "select" integer PRIMARY KEY, "Ünïcödé ☃" text, "UPPER" text, "a.b" text, "100%" text, "back\slash" text, "'" text
);
INSERT INTO "Weird ""Name"" with spaces; DROP TABLE x; --" VALUES (1, '☃', NULL, '', 'NULL', '\N', '''');
CREATE TABLE "Ünï schéma; --"."two
lines" ("col
umn" text DEFAULT E'new\nline');
INSERT INTO "Ünï schéma; --"."two
lines" DEFAULT VALUES;
CREATE TABLE "Order" ("user" text, "table" integer, "Group" boolean); -- reserved words; also empty
CREATE TABLE "таблица" (номер serial PRIMARY KEY, 名前 text);
INSERT INTO "таблица" (名前) VALUES ('東京'), ('‮right to left'), (E'zero\u200Bwidth'), ('e' || U&'\0301'), ('é');
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
INSERT INTO nothing DEFAULT VALUES;
CREATE UNLOGGED TABLE scratchpad AS SELECT 1 AS one;
CREATE TABLE vehicles (wheels integer);
CREATE TABLE cars (doors integer) INHERITS (vehicles);
INSERT INTO vehicles VALUES (2);
INSERT INTO cars VALUES (4, 5);

CREATE TABLE texts (id integer PRIMARY KEY, body text);
INSERT INTO texts VALUES
  (1, ''), (2, NULL), (3, '\N'), (4, '\.'), (5, E'before\n\\.\nafter'), (6, E'tab\t, CR\r, CRLF\r\n, bell\a, form\f, escape\033'),
  (7, E'\\'), (8, E'trailing backslash \\'), (9, E'\\\\server\\share\\new\\table'), (10, ' leading and trailing '),
  (11, $t$'; DROP TABLE shop.customers; --$t$), (12, '$$ dollars $1 $body$'), (13, '👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 é 𝄞'), (14, '-- PostgreSQL database dump complete'),
  (15, E'\\restrict x\n\\unrestrict x\n\\! touch /tmp/owned\nCOPY x FROM stdin;\n1\n\\.\n'), (16, repeat('long line ', 100000)),
  (17, '${HOME} `id` $(id) %s {{ x }} <script>alert(1)</script> &amp;'), (18, E'\u0001\u007f\uffff');

CREATE TABLE edges (
  id integer PRIMARY KEY, i8 bigint, n numeric, f4 real, f8 double precision, d date, t timestamptz, span interval,
  r int4range, m datemultirange, bits bit varying, net inet, mac macaddr, spot point, words tsvector, j json, b bytea, grid integer[][]
);
INSERT INTO edges VALUES
  (1, -9223372036854775808, 'NaN', 'NaN', '-Infinity', '-infinity', 'infinity', '-1 year 2 mons -3 days 04:05:06.789', 'empty', '{}', B'', '::1/128',
    '08:00:2b:01:02:03', '(1e-300,-0)', '''a b'':1A cat:2', '{"a":1,  "a":2}', '\x', '{}'),
  (2, 9223372036854775807, 'Infinity', '1e-45', '4.9406564584124654e-324', '4713-01-01 BC', '0044-03-15 12:00:00+00 BC', '178000000 years', '(,)',
    '{[2020-01-01,2020-02-01),[2021-01-01,)}', B'0101', '192.168.0.0/16', NULL, NULL, '', 'null', '\x00ff5c2e0a', '[-1:0][5:6]={{1,NULL},{3,4}}'),
  (3, 0, ('1' || repeat('0', 400) || '.' || repeat('3', 300))::numeric, '-0', 0.1::float8 + 0.2::float8, '5874897-12-31', '1900-01-01 00:00+00', '0', '[1,2)',
    NULL, NULL, NULL, NULL, NULL, NULL, '[]', sha256('x'), '{{{1}}}');

CREATE TABLE bookings (room integer, during tstzrange, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO bookings SELECT n, tstzrange('2025-01-01 00:00+00', '2025-01-02 00:00+00') FROM generate_series(1, 20) AS n;

-- Two tables that point at each other.
CREATE TABLE teams (id integer PRIMARY KEY, lead integer);
CREATE TABLE members (id integer PRIMARY KEY, team integer NOT NULL REFERENCES teams DEFERRABLE);
INSERT INTO teams VALUES (1, 10), (2, NULL);
INSERT INTO members VALUES (10, 1), (11, 2);
ALTER TABLE teams ADD FOREIGN KEY (lead) REFERENCES members DEFERRABLE INITIALLY DEFERRED;

-- Sequences: called and not, downwards, at the end of their range, owned by nothing.
CREATE SEQUENCE untouched START WITH 42;
CREATE SEQUENCE spent MAXVALUE 3;
CREATE SEQUENCE "Ünï schéma; --".far INCREMENT BY 1000000007;
SELECT setval('spent', 3), setval('"Ünï schéma; --".far', 9223372036854775000, false), setval('"Odd Seq"', -32765), setval('orders_id_seq', 1000000 * :scale::bigint + 1) \g /dev/null

-- Large objects under fixed numbers, so that two loads are the same: empty, one page, many pages.
SELECT lo_from_bytea(4242001, ''), lo_from_bytea(4242002, 'hello \000 world'),
  lo_from_bytea(4242003, (SELECT string_agg(sha256(n::text::bytea), '') FROM generate_series(1, 10000) AS n)) \g /dev/null
COMMENT ON LARGE OBJECT 4242003 IS 'three hundred thousand bytes of noise';
GRANT SELECT ON LARGE OBJECT 4242002 TO shop_reader;
CREATE TABLE scans (name text PRIMARY KEY, content oid NOT NULL);
INSERT INTO scans VALUES ('empty', 4242001), ('small', 4242002), ('big', 4242003);

-- Functions, procedures, aggregates --------------------------------------------------------------------------

CREATE FUNCTION order_total(order_id bigint) RETURNS numeric LANGUAGE sql STABLE AS
  'SELECT coalesce(sum(quantity * unit_price), 0) FROM shop.order_items i WHERE i.order_id = $1 /* it''s "quoted" */';
CREATE FUNCTION order_total(VARIADIC ids bigint[]) RETURNS numeric LANGUAGE sql STABLE
  RETURN (SELECT sum(order_total(id)) FROM unnest(ids) AS id); -- parsed when made, not when called
CREATE FUNCTION slug(title text, separator text DEFAULT E'-\\') RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog AS $outer$
DECLARE
  inner_sql text := $$SELECT 'a ''nested'' $quote$'$$;
BEGIN
  -- A line that ends a COPY, where there is no COPY:
  -- \.
  RETURN regexp_replace(lower(title), E'[^a-z0-9]+', separator, 'g') || length(inner_sql);
END
$outer$;
CREATE PROCEDURE "Do Nothing"(INOUT n integer = 7) LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN n := n; END $$;
CREATE AGGREGATE product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE OPERATOR public.=?= (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text);
CREATE INDEX products_slug ON products (slug(title));
COMMENT ON FUNCTION slug(text, text) IS 'title → slug';
COMMENT ON AGGREGATE product(numeric) IS 'multiplies';
REVOKE ALL ON FUNCTION slug(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION slug(text, text) TO shop_reader;

-- Views ------------------------------------------------------------------------------------------------------

CREATE VIEW open_orders WITH (security_barrier) AS SELECT * FROM orders WHERE state = 'open' WITH LOCAL CHECK OPTION;
CREATE VIEW "Open Orders, €" AS
  SELECT o.id AS "№", c.name, order_total(o.id) AS "total €" FROM open_orders o JOIN customers c ON c.id = o.customer_id;
CREATE RECURSIVE VIEW invitations (id, depth) AS
  SELECT id, 0 FROM customers WHERE invited_by IS NULL
  UNION ALL
  SELECT c.id, i.depth + 1 FROM customers c JOIN invitations i ON c.invited_by = i.id WHERE i.depth < 3;
CREATE MATERIALIZED VIEW sales AS
  SELECT date_trunc('month', placed_at AT TIME ZONE 'UTC') AS month, count(*), sum(quantity * unit_price) AS revenue
  FROM orders JOIN order_items ON order_id = id GROUP BY 1;
CREATE UNIQUE INDEX ON sales (month);
CREATE MATERIALIZED VIEW never_filled AS SELECT * FROM "Open Orders, €" WITH NO DATA;
CREATE RULE quiet AS ON DELETE TO "Open Orders, €" DO INSTEAD NOTHING;
COMMENT ON VIEW "Open Orders, €" IS 'what is still to do';
COMMENT ON MATERIALIZED VIEW sales IS 'refreshed by hand';

-- Triggers, made after the bulk ---------------------------------------------------------------------------------

CREATE TABLE audit (n bigint GENERATED ALWAYS AS IDENTITY, what text NOT NULL, old_row jsonb, new_row jsonb);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO shop.audit (what, old_row, new_row) VALUES (TG_OP || ' ' || TG_TABLE_NAME || ' ' || coalesce(TG_ARGV[0], ''), to_jsonb(OLD), to_jsonb(NEW));
  RETURN coalesce(NEW, OLD);
END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused: %', TG_NAME; END $$;
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF price ON products FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION note_change('it''s \ an argument');
CREATE TRIGGER "Never Truncate" BEFORE TRUNCATE ON orders EXECUTE FUNCTION refuse();
CREATE TRIGGER asleep BEFORE INSERT ON texts FOR EACH ROW EXECUTE FUNCTION refuse(); -- a restore that fires it fails
ALTER TABLE texts DISABLE TRIGGER asleep;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON scans DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
COMMENT ON TRIGGER audited ON products IS 'writes shop.audit';
UPDATE products SET price = price + 0.01 WHERE id < 1100;

-- Rights ---------------------------------------------------------------------------------------------------------

GRANT SELECT ON customers, orders, "Open Orders, €" TO shop_reader;
GRANT INSERT, UPDATE (remark, state) ON orders TO "Night Shift" WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE untouched TO shop_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO shop_reader;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY "only ours" ON customers AS PERMISSIVE FOR SELECT TO shop_reader USING ((home).country = 'DE' AND name <> '; --');
CREATE POLICY no_new ON customers AS RESTRICTIVE FOR INSERT WITH CHECK (false);
COMMENT ON POLICY "only ours" ON customers IS 'row level security';
ALTER TABLE cars OWNER TO "Night Shift";
ALTER FUNCTION order_total(bigint) OWNER TO "Night Shift";

COMMENT ON TABLE "Weird ""Name"" with spaces; DROP TABLE x; --" IS E'odd names\nand \\. lines; $$ too';
COMMENT ON COLUMN customers.email IS '; DROP TABLE customers; --';
COMMENT ON INDEX "orders; by date" IS 'newest first';
COMMENT ON SEQUENCE untouched IS 'never called';
COMMENT ON CONSTRAINT checked_later ON order_items IS 'not valid, and old rows break it';
COMMIT;

-- What belongs to the database itself: a copy into another database leaves it behind.
COMMENT ON DATABASE :"DBNAME" IS 'Holdfast''s sample database';
ALTER DATABASE :"DBNAME" SET search_path = shop, public;
ALTER DATABASE :"DBNAME" SET lock_timeout = '7s';
GRANT CONNECT ON DATABASE :"DBNAME" TO shop_reader;
ANALYZE;
