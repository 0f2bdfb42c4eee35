//! Files and folders, as the suite needs them: two volumes, one of them with a third one in it, and all
//! that can lie in a file system.

use holdfast::app::ConfigInput;

use super::{Kind, OwnFault};
use crate::{
    bed::{Bed, SQLITE_APP, docker},
    house::IsDump,
};

pub struct Volume;

/// A tar that makes an archive, not one that is asked for its version.
pub fn is_pack(argv: &[String]) -> bool {
    argv[0] == "tar" && argv[1] == "-c"
}

/// Everything that a file system can hold, with names that a shell or an option parser could trip over.
pub const SEED: &str = r#"
cd /data
head -c 700000 /dev/urandom > blob
mkdir -p deep/er/st .hidden 'a b' && echo x > deep/er/st/file && echo y > .hidden/.file
for n in -rf '$(id)' "new
line" 'quote'"'" 'st*r' '[x]' 'back\slash' ' lead' 'trail ' 'ünï' "$(printf 'bad\377utf')" '..a' ...; do
  echo "$n" > "./a b/$n"
done
long=$(printf 'n%.0s' $(seq 200)); mkdir -p "$long/$long" && echo far > "$long/$long/$long"
ln blob deep/hard && ln blob 'a b/hard' && ln -s blob soft && ln -s /etc/passwd absolute && ln -s ../../.. up
ln -s nowhere dangling && mkfifo pipe
truncate -s 40M sparse && printf end >> sparse
echo o > owned && chown 4242:4343 owned && chmod 0640 owned && chown -h 77:78 soft
echo s > suid && chmod 4755 suid && mkdir sticky && chmod 1777 sticky && chown 12:13 deep
setfattr -n user.holdfast -v 'kept as it is' blob && setfacl -m u:33:r,g:44:rw owned
touch -d '2001-02-03 04:05:06.789' blob && touch -d '1999-01-01' deep/er
chown 999:998 /data && chmod 0771 /data
echo cached > cache/one && mkdir cache/two && ln -s ../blob cache/three
mkdir -p /media/shop/empty && echo m > /media/shop/m && chown 5:6 /media/shop
"#;

const DIGEST: &str = r"
for d in /data /media/shop; do
  find $d -name '.holdfast-*' -prune -o -type d -printf '%y %p %m %U:%G\n' \
    -o -type f -printf '%y %p %m %U:%G %s %n %T@\n' -o -type s -o -printf '%y %p %m %U:%G %l\n'
  find $d -name '.holdfast-*' -prune -o -type f -exec sha256sum {} +
  find $d -name '.holdfast-*' -prune -o -type f -exec getfattr -d -m '^user' --absolute-names {} +
  find $d -name '.holdfast-*' -prune -o -type f -exec getfacl -n -p -s {} +
done | sort
";

impl Kind for Volume {
    const NAME: &'static str = "volume";
    const IS_DUMP: IsDump = is_pack;

    fn start(options: &[&str]) -> Bed {
        let volumes = ["-v", "/media/shop", "-v", "/data/cache"];
        Bed::run(
            SQLITE_APP,
            &[&volumes, options].concat(),
            &["sleep", "3600"],
        )
    }

    fn until_ready(_bed: &Bed) {}

    fn seed(bed: &Bed) {
        bed.sh(SEED);
    }

    fn change(bed: &Bed) {
        bed.sh(
            "cd /data; echo changed > blob; rm -r deep 'a b/-rf'; echo later > later; mkdir soft2; \
             rm soft; mkdir soft; echo in > soft/in; chown 1:1 /data; echo other > cache/one; \
             echo late > cache/late; rm /media/shop/m; echo late > /media/shop/empty/late",
        );
    }

    fn destroy(bed: &Bed) {
        bed.sh(
            "for d in /data/cache /data /media/shop; do find $d -mindepth 1 -not -path /data/cache \
             -delete; done; chown 0:0 /data; chmod 755 /data",
        );
    }

    fn digest(bed: &Bed) -> String {
        bed.sh(DIGEST)
    }

    fn leftovers(bed: &Bed) -> Vec<String> {
        let found = bed.sh("find /data /media -name '.holdfast*'");
        let helpers = docker(&["ps", "-aq", "--filter", &helper_of(bed)]);
        let all = found.lines().chain(helpers.lines());
        all.map(ToOwned::to_owned).collect()
    }

    fn configure(input: &mut ConfigInput) {
        let paths = ["/data//", "/media/shop/m", "/media/shop/empty"];
        input.paths = Some(paths.map(ToOwned::to_owned).to_vec());
    }

    fn faults() -> Vec<OwnFault> {
        vec![
            OwnFault {
                name: "path missing",
                make: |bed| drop(bed.sh("mv /media/shop/m /media/shop/m2")),
                mend: |bed| drop(bed.sh("mv /media/shop/m2 /media/shop/m")),
                says: &["/media/shop/m is not there"],
            },
            OwnFault {
                name: "path is a link now",
                make: |bed| drop(bed.sh("cd /media/shop && mv m m2 && ln -s m2 m")),
                mend: |bed| drop(bed.sh("cd /media/shop && rm m && mv m2 m")),
                says: &["symbolic link"],
            },
            OwnFault {
                name: "path is a pipe now",
                make: |bed| drop(bed.sh("cd /media/shop && mv m m2 && mkfifo m")),
                mend: |bed| drop(bed.sh("cd /media/shop && rm m && mv m2 m")),
                says: &["no file and no folder"],
            },
        ]
    }
}

/// Filter for the helpers of a container.
pub fn helper_of(bed: &Bed) -> String {
    let id = docker(&["inspect", "-f", "{{.Id}}", &bed.name]);
    format!("label=holdfast.helper={id}")
}
