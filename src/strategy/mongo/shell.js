// What Holdfast asks of a server, for mongosh or the shell before it: in words that both know. The
// request comes by environment, the answer is one line. Names are data here, never code.

var input = JSON.parse(typeof process === 'undefined' ? _getEnv('HOLDFAST_INPUT') : process.env.HOLDFAST_INPUT);
var server = new Mongo('mongodb://127.0.0.1:27017/?directConnection=true&serverSelectionTimeoutMS=10000');
var admin = server.getDB('admin');
if (input.user && !admin.auth(input.user, input.password)) {
  throw new Error('Authentication failed.');
}

var OURS = /^hf_(stage|undo|undone)_[0-9]+_[0-9a-f]{8}(\.|$)/;

function run(base, command) {
  var answer = base.runCommand(command);
  if (!answer.ok) {
    throw new Error(answer.errmsg);
  }
  return answer;
}

function list(base) {
  var answer = run(base, { listCollections: 1 });
  var batch = answer.cursor.firstBatch;
  var found = [];
  while (true) {
    for (var i = 0; i < batch.length; i++) {
      found.push(batch[i]);
    }
    if (Number(answer.cursor.id) === 0) {
      return found;
    }
    var name = answer.cursor.ns.slice(base.getName().length + 1);
    answer = run(base, { getMore: answer.cursor.id, collection: name });
    batch = answer.cursor.nextBatch;
  }
}

// Those whose names begin like this one, which is of a restore.
function listed(base, prefix) {
  var found = [];
  var items = list(base);
  for (var i = 0; i < items.length; i++) {
    if (items[i].name.indexOf(prefix + '.') === 0) {
      found.push(items[i]);
    }
  }
  return found;
}

function namesOf(items) {
  var kinds = {};
  for (var i = 0; i < items.length; i++) {
    kinds['=' + items[i].name] = items[i].type || 'collection';
  }
  return kinds;
}

// Gives a collection another name. Views have none of their own data: they are made anew.
function move(base, item, to, kinds, replace) {
  var there = kinds['=' + to];
  if (there && replace && (there === 'view' || item.type === 'view')) {
    run(base, { drop: to });
  }
  if (item.type === 'view') {
    var create = { create: to, viewOn: item.options.viewOn, pipeline: item.options.pipeline };
    if (item.options.collation) {
      create.collation = item.options.collation;
    }
    run(base, create);
    run(base, { drop: item.name });
  } else {
    var name = base.getName() + '.';
    run(admin, { renameCollection: name + item.name, to: name + to, dropTarget: replace });
  }
}

function look() {
  var names = input.databases;
  if (!names) {
    names = input.also || [];
    var all = run(admin, { listDatabases: 1, nameOnly: true }).databases;
    for (var i = 0; i < all.length; i++) {
      var name = all[i].name;
      if (name !== 'local' && name !== 'config' && names.indexOf(name) < 0) {
        names.push(name);
      }
    }
  }
  var hello = run(admin, { isMaster: 1 });
  var answer = {
    version: run(admin, { buildInfo: 1 }).version,
    primary: hello.ismaster === true,
    router: hello.msg === 'isdbgrid',
    free: null,
    databases: [],
  };
  for (var j = 0; j < names.length; j++) {
    var base = server.getDB(names[j]);
    var stats = run(base, { dbStats: 1 });
    var items = list(base);
    var found = { name: names[j], size: Number(stats.dataSize), collections: [] };
    for (var k = 0; k < items.length; k++) {
      found.collections.push({ name: items[k].name, kind: items[k].type || 'collection' });
    }
    answer.databases.push(found);
    if (stats.fsTotalSize !== undefined) {
      answer.free = Number(stats.fsTotalSize) - Number(stats.fsUsedSize);
    }
  }
  return answer;
}

function count() {
  var found = [];
  for (var i = 0; i < input.databases.length; i++) {
    var base = server.getDB(input.databases[i]);
    var items = listed(base, input.incoming);
    for (var j = 0; j < items.length; j++) {
      var documents = 0;
      if (items[j].type !== 'view') {
        var pipeline = [{ $match: {} }, { $group: { _id: 1, n: { $sum: 1 } } }];
        var answer = run(base, { aggregate: items[j].name, pipeline: pipeline, cursor: {} });
        var batch = answer.cursor.firstBatch;
        documents = batch.length ? Number(batch[0].n) : 0;
      }
      found.push({
        database: input.databases[i],
        name: items[j].name.slice(input.incoming.length + 1),
        view: items[j].type === 'view',
        documents: documents,
      });
    }
  }
  return found;
}

// A collection with the bare prefix as its name says that what was in use is set aside as a whole.
function isWhole(prefix) {
  return !!namesOf(list(server.getDB(input.databases[0])))['=' + prefix];
}

function exchange() {
  if (!input.disposable && !isWhole(input.incoming)) {
    // Called again after it was done.
    if (isWhole(input.aside)) {
      return kept();
    }
    throw new Error(input.incoming + ' is no longer there');
  }
  var number = 0;
  for (var i = 0; i < input.databases.length; i++) {
    number += listed(server.getDB(input.databases[i]), input.incoming).length;
  }
  if (number !== input.expected) {
    throw new Error('there are ' + number + ' of ' + input.expected + ' collections in ' + input.incoming);
  }
  for (var j = 0; j < input.databases.length; j++) {
    var base = server.getDB(input.databases[j]);
    var items = list(base);
    for (var k = 0; k < items.length; k++) {
      var name = items[k].name;
      if (!OURS.test(name) && name.indexOf('system.') !== 0) {
        move(base, items[k], input.aside + '.' + name, {}, false);
      }
    }
  }
  run(server.getDB(input.databases[0]), { create: input.aside, writeConcern: { w: 'majority' } });
  return forward();
}

function forward() {
  bring(input.incoming);
  drop(input.incoming);
  return kept();
}

// Whoever writes to a collection that is away for a moment makes it anew: that one goes.
function bring(prefix) {
  for (var i = 0; i < input.databases.length; i++) {
    var base = server.getDB(input.databases[i]);
    var items = list(base);
    var kinds = namesOf(items);
    for (var j = 0; j < items.length; j++) {
      if (items[j].name.indexOf(prefix + '.') === 0) {
        move(base, items[j], items[j].name.slice(prefix.length + 1), kinds, true);
      }
    }
  }
}

function settle() {
  if (isWhole(input.aside)) {
    return forward();
  }
  bring(input.aside);
  // What a killed program had just sent may be done only now.
  while (input.disposable && anything(input.incoming)) {
    drop(input.incoming);
    sleep(200);
  }
  return null;
}

function anything(prefix) {
  for (var i = 0; i < input.databases.length; i++) {
    var base = server.getDB(input.databases[i]);
    if (listed(base, prefix).length || namesOf(list(base))['=' + prefix]) {
      return true;
    }
  }
  return false;
}

function drop(prefix) {
  for (var i = 0; i < input.databases.length; i++) {
    var base = server.getDB(input.databases[i]);
    var items = listed(base, prefix);
    for (var j = 0; j < items.length; j++) {
      run(base, { drop: items[j].name });
    }
    if (namesOf(list(base))['=' + prefix]) {
      run(base, { drop: prefix });
    }
  }
  return null;
}

function kept() {
  var answer = { collections: 0, size: 0 };
  for (var i = 0; i < input.databases.length; i++) {
    var base = server.getDB(input.databases[i]);
    var items = listed(base, input.aside);
    answer.collections += items.length;
    for (var j = 0; j < items.length; j++) {
      if (items[j].type !== 'view') {
        var stats = run(base, { collStats: items[j].name });
        answer.size += Number(stats.storageSize) + Number(stats.totalIndexSize);
      }
    }
  }
  return answer;
}

// Whether the server works for mongorestore, and does not just wait for a lock.
function works() {
  var operations = run(admin, { currentOp: 1, $ownOps: true, active: true }).inprog;
  for (var i = 0; i < operations.length; i++) {
    var client = operations[i].clientMetadata;
    var name = operations[i].appName || (client && client.application && client.application.name);
    if (name === 'mongorestore' && !operations[i].waitingForLock) {
      return true;
    }
  }
  return false;
}

function forget() {
  return drop(input.aside);
}

var actions = { look: look, count: count, exchange: exchange, settle: settle, works: works, forget: forget };
var answer = actions[input.action]();
print('HOLDFAST ' + JSON.stringify(answer));
