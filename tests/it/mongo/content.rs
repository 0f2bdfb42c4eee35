//! All of BSON comes back to the byte, with a login and without, of one database and of all.

use std::time::Instant;

use super::{CHANGE, SEED, back_up, digest, leftovers, mongo, python, site, start};
use crate::workbench::Notes;

const PASSWORD: &str = "pässw0rd $(id) ' \" \\ %s @:/";

/// Every type there is, at its limits, documents of the greatest length, options, names with dots.
const NASTY: &str = "
import datetime
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
nasty = [
    SON(_id=1, d=datetime.datetime(9999, 12, 31, 23, 59, 59, 999000), e=datetime.datetime(1, 1, 1)),
    SON(_id='1', i=2147483647, j=-2147483648, l=Int64(9223372036854775807), m=Int64(-9223372036854775808)),
    SON(_id=1.5, nan=float('nan'), inf=float('-inf'), zero=-0.0, tiny=5e-324),
    SON(_id=Decimal128('1E-6176'), a=Decimal128('NaN'), b=Decimal128('-Infinity')),
    SON(_id=Binary(bytes(range(256)), 5), u=Binary(b'x' * 16, 4), o=Binary(b'', 128)),
    SON(_id=SON([('b', 1), ('a', 2)]), n=None, t=True, f=False),
    SON(_id=ObjectId(), r=Regex('^a', 'imx'), c=Code('f()'), s=Code('f()', {'x': 1}), ts=Timestamp(1, 2)),
    SON([('_id', MinKey()), ('', 'empty name'), ('a.b', 1), ('$c', 2), ('x', MaxKey()), ('x', 'twice')]),
    SON(_id='$(touch /tmp/owned)', text='\\u0000 \\x1b[31m \\u202e \\ud7ff \\U0001f418 é e\\u0301', l=[[], {}, [[1]]]),
    SON(_id=DBRef('things', 1).as_doc()),
]
deep = SON(x=1)
for _ in range(90):
    deep = SON(d=deep)
nasty.append(SON(_id='deep', deep=deep))
client.insert('shop', 'nasty', nasty)
limit = 16 * 1024 * 1024
for i in range(3):
    document = SON(_id=i, b=Binary(b''))
    room = limit - len(bson.encode(document)) - (i % 2)
    client.insert('shop', 'large', [SON(_id=i, b=Binary(os.urandom(room)))])
client.run('shop', SON(create='capped.log', capped=True, size=4096, max=3))
client.run('shop', SON(create='checked', validator={'n': {'$gte': 0}}, collation={'locale': 'de'}))
client.run('shop', SON(create='seen', viewOn='cheap', pipeline=[], collation={'locale': 'fr'}))
client.insert('shop', 'checked', [SON(_id=1, n=1)])
client.run('shop', SON(createIndexes='checked', indexes=[SON(key=SON(when=1), name='old', expireAfterSeconds=60,
    partialFilterExpression={'n': 1}), SON(key=SON([('t', 'text')]), name='text', weights=SON(t=3))]))
client.insert('library', 'books', [SON(_id=i) for i in range(50)])
client.insert('admin', 'notes', [SON(_id='an app keeps this here')])
client.insert('admin', 'system.users', [SON(_id='admin.root')])
";

#[tokio::test(flavor = "multi_thread")]
async fn all_of_bson_comes_back_to_the_byte() {
    let password = format!("MONGO_INITDB_ROOT_PASSWORD={PASSWORD}");
    let login = ["-e", "MONGO_INITDB_ROOT_USERNAME=röot", "-e", &password];
    let bed = start(&login, &[]);
    python(&bed, SEED);
    python(&bed, NASTY);
    let original = digest(&bed);

    let all = site(&bed, &[], None).await;
    let started = Instant::now();
    let backup = back_up(&all).await.unwrap();
    let took = started.elapsed();
    assert_eq!(digest(&bed), original, "a backup changes nothing");
    assert_eq!(backup.probe.subject, "*");
    assert!(backup.probe.tool.contains("100.7.0"), "{:?}", backup.probe);
    assert_eq!(backup.fingerprint.counts["shop.things"], 9000);
    assert_eq!(backup.fingerprint.counts["shop.large"], 3);
    assert_eq!(backup.fingerprint.counts["view shop.seen"], 0);
    assert_eq!(backup.fingerprint.counts["admin.notes"], 1);
    assert!(!backup.fingerprint.counts.contains_key("admin.system.users"));
    let mark = "not a single point in time";
    assert!(
        backup.dumped.warnings[0].starts_with(mark),
        "{:?}",
        backup.dumped
    );

    // One database alone does not touch the others.
    let shop = site(&bed, &[("database", "shop")], Some(PASSWORD)).await;
    let one = back_up(&shop).await.unwrap();
    assert_eq!(one.probe.subject, "shop");
    assert!(
        one.fingerprint
            .counts
            .keys()
            .all(|key| key.contains("shop."))
    );
    python(&bed, CHANGE);
    python(&bed, "client.insert('library', 'books', [SON(_id='new')])");
    let changed = digest(&bed);
    let restored = one.restore(&shop, &Notes::default()).await.unwrap();
    assert_eq!(restored.fingerprint, one.fingerprint);
    assert!(digest(&bed).contains("'library' 'books' 51"));
    let kept = restored.kept.unwrap();
    let size = kept.size.unwrap();
    assert!(size > 1_000_000, "{size}");

    // What was set aside is no part of the next backup, of one database or of all.
    let again = back_up(&shop).await.unwrap();
    assert_eq!(again.fingerprint, one.fingerprint);
    let whole = back_up(&all).await.unwrap();
    assert_eq!(whole.fingerprint.counts["library.books"], 51);
    assert_eq!(
        whole.fingerprint.counts.len(),
        backup.fingerprint.counts.len()
    );

    let undone = mongo().undo(&shop, &kept, &Notes::default()).await.unwrap();
    assert_eq!(digest(&bed), changed, "an undo");
    // Called again, as after a lost answer: the same.
    let twice = mongo().undo(&shop, &kept, &Notes::default()).await.unwrap();
    assert_eq!(twice, undone);
    assert_eq!(digest(&bed), changed, "an undo, twice");
    mongo().forget(&shop, &undone).await.unwrap();
    let error = mongo()
        .undo(&shop, &undone, &Notes::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no longer there"), "{error}");
    assert_eq!(digest(&bed), changed, "an undo of what was forgotten");

    // All of it, over other content. A database that the backup does not hold is left alone.
    python(&bed, "client.insert('stranger', 'x', [SON(_id=1)])");
    let started = Instant::now();
    let restored = whole.restore(&all, &Notes::default()).await.unwrap();
    let restored_in = started.elapsed();
    assert_eq!(restored.warnings.len(), 1, "{:?}", restored.warnings);
    assert!(
        restored.warnings[0].ends_with("hold them: stranger"),
        "{:?}",
        restored.warnings
    );
    mongo().forget(&all, &restored.kept.unwrap()).await.unwrap();
    python(&bed, "client.run('stranger', SON(dropDatabase=1))");
    python(
        &bed,
        "client.run('library', SON(delete='books', deletes=[SON(q={'_id': 'new'}, limit=0)]))",
    );
    assert_eq!(digest(&bed), original, "all databases");
    assert_eq!(leftovers(&bed), Vec::<String>::new());
    assert_eq!(bed.sh("ls /tmp/owned 2>/dev/null || echo none"), "none");
    println!(
        "figure: mongo: {} documents, {} MB backed up in {:.1} s, restored in {:.1} s, equal to the byte",
        backup.fingerprint.total(),
        backup.bytes.len() / 1_000_000,
        took.as_secs_f64(),
        restored_in.as_secs_f64(),
    );
}
