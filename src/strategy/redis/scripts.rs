//! Constant scripts over a server's data folder, with folders and names as arguments: for any POSIX shell,
//! busybox's too. Every one may be run again after it was cut off.

pub const THERE: &str = "there() { [ -e \"$1\" ] || [ -L \"$1\" ]; }\n\
    durable() { sync -f \"$1\" 2>/dev/null || sync; }\n";

pub const MAKE: &str =
    "mkdir -m 700 \"$1\" && mkdir -m 700 \"$1/new\" \"$1/old\" && durable \"$1\"";

/// Whether a name is there, and the disk: its line may be wrapped.
pub const SURVEY: &str =
    "if there \"$1/$2\"; then echo yes; else echo no; fi; df -Pk \"$1\" | tail -n 1";

pub const WRITE: &str = "cat > \"$1\" && durable \"$1\" && wc -c < \"$1\"";

/// Of each name: is it in the data folder, in the first, and in the second folder?
pub const LOOK: &str = "dir=$1 in=$2 out=$3; shift 3\n\
    there \"${in%/*}\" || { echo none; exit 0; }\n\
    for name do\n\
      line=\n\
      for folder in \"$dir\" \"$in\" \"$out\"; do\n\
        if there \"$folder/$name\"; then line=${line}1; else line=${line}0; fi\n\
      done\n\
      echo \"$line\"\n\
    done";

/// What is new belongs to the server, like what it replaces.
pub const DRESS: &str = "dir=$1 in=$2; shift 2\n\
    like=$dir\n\
    for name do if there \"$dir/$name\"; then like=$dir/$name; break; fi; done\n\
    owner=$(stat -c %u:%g \"$like\") || exit\n\
    for name do\n\
      there \"$in/$name\" || continue\n\
      chown -R \"$owner\" \"$in/$name\" || exit\n\
      if [ -d \"$in/$name\" ]; then find \"$in/$name\" -type f -exec chmod 600 '{}' + ; mode=700; else mode=600; fi\n\
      if there \"$dir/$name\"; then mode=$(stat -c %a \"$dir/$name\") || exit; fi\n\
      chmod \"$mode\" \"$in/$name\" || exit\n\
    done";

pub const SWAP: &str = "set -e; dir=$1 in=$2 out=$3; shift 3\n\
    mkdir -p -m 700 \"$out\"\n\
    for name do\n\
      if there \"$dir/$name\" && ! there \"$out/$name\"; then mv -- \"$dir/$name\" \"$out/$name\"; fi\n\
    done\n\
    for name do\n\
      if there \"$in/$name\"; then mv -- \"$in/$name\" \"$dir/$name\"; fi\n\
    done\n\
    durable \"$dir\"";

/// The other way round, from wherever it was left. Arguments after the folders are pairs: a name, and
/// whether it was there before. What a server wrote in between is thrown away.
pub const BACK: &str = "set -e; dir=$1 in=$2 out=$3; shift 3\n\
    junk=${in%/*}/junk\n\
    away() {\n\
      mkdir -p -m 700 \"$junk\"; rm -rf -- \"$junk/$1\"\n\
      if there \"$in/$1\"; then mv -- \"$dir/$1\" \"$junk/$1\"; else mv -- \"$dir/$1\" \"$in/$1\"; fi\n\
    }\n\
    while [ $# -gt 0 ]; do\n\
      if there \"$out/$1\"; then\n\
        if there \"$dir/$1\"; then away \"$1\"; fi\n\
        mv -- \"$out/$1\" \"$dir/$1\"\n\
      elif [ \"$2\" = 0 ] && there \"$dir/$1\"; then\n\
        away \"$1\"\n\
      fi\n\
      shift 2\n\
    done\n\
    rm -rf -- \"$junk\"\n\
    durable \"$dir\"";

pub const SIZE: &str = "du -sk \"$1\"";
pub const REMOVE: &str = "rm -rf -- \"$1\" && durable \"${1%/*}\"";
pub const REMOVE_FILE: &str = "rm -f -- \"$1\" && durable \"${1%/*}\"";
