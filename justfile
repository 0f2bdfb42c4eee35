# The dev loop's handbook: `just --list`. Every recipe is one or two commands to run by hand where `just` is absent.

set shell := ["bash", "-euc"]

data := "data"

# this list
_default:
    @just --list --unsorted

# run the server from this tree on port 7700, its data in ./data; after an edit: Ctrl-C and again (templates are compiled in too)
dev *args:
    cargo run -- serve --data-dir {{ data }} --listen 127.0.0.1:7700 {{ args }}

# format, lints and all tests against real engines, as CI does it; or some: `just test restore`, `just test --quick`
test *args:
    scripts/test {{ args }}

# exactly what CI runs, with its own folder for what cargo builds
ci:
    .ci/run

# back up, damage and restore a sample database before your eyes; `just demo --stop` cleans up
demo *args:
    scripts/demo {{ args }}

# measure against stock tools, side by side (docs/benchmarks.md); needs an idle machine
bench *args:
    scripts/bench {{ args }}

# accept what the snapshot tests print now, then show it for review
snap *args:
    INSTA_UPDATE=always cargo test --workspace {{ args }}
    git diff --stat -- '*.snap'

# forget the data of `just dev`: configs, history, local artifacts
[confirm("Delete everything in ./data?")]
db-reset:
    rm -rf {{ data }}

# build the images that tests run against, from Debian packages (2 to 4 minutes the first time)
testbed-up *tags:
    scripts/testbed/up {{ tags }}

# remove containers that killed tests left behind; `--all`: the images too
testbed-down *args:
    scripts/testbed/down {{ args }}

# prove that the digest by which databases are compared notices every change
check-digest *tag:
    scripts/testbed/check-digest {{ tag }}

# write the format that `just lint` wants
fmt:
    cargo fmt --all

# what `just test` checks before the tests, and the shell scripts
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    shellcheck scripts/lib.sh scripts/demo scripts/test scripts/testbed/{up,down,check-digest,*/*.sh} .ci/run

# licences, banned crates, sources and known vulnerabilities of the dependencies (needs cargo-deny and the network)
deny:
    cargo deny check
