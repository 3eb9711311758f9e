/** Tables of statements and their plans. */
import t from 'tap'
import { choosePolicy, checkUniqueIndexes, Planner, type Plan, type SessionAction } from '../src/index.ts'
import { by, catalog, table } from './fixture.ts'

const planner = await Planner.create()
const planOf = (sql: string): Plan => planner.plan(sql, catalog)[0]?.plan as Plan

t.test('session statements', (t) => {
  const cases: [string, SessionAction][] = [
    ['begin', { type: 'begin', modes: {} }],
    [
      'START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY',
      { type: 'begin', modes: { isolation: 'repeatable read', readOnly: true } },
    ],
    ['begin read write not deferrable', { type: 'begin', modes: { readOnly: false, deferrable: false } }],
    ['end', { type: 'commit', chain: false }],
    ['commit and chain', { type: 'commit', chain: true }],
    ['abort', { type: 'rollback', chain: false }],
    ['savepoint A', { type: 'savepoint', name: 'a' }],
    ['rollback to savepoint "A"', { type: 'rollbackTo', name: 'A' }],
    ['release a', { type: 'release', name: 'a' }],
    [
      'set session characteristics as transaction isolation level serializable',
      { type: 'setTransaction', modes: { isolation: 'serializable' }, session: true },
    ],
    ['set transaction read only', { type: 'setTransaction', modes: { readOnly: true }, session: false }],
    ["set search_path to a, 'B b'", { type: 'set', name: 'search_path', value: 'a, "B b"', local: false }],
    ['set local work_mem = 64', { type: 'set', name: 'work_mem', value: '64', local: true }],
    ['set enable_seqscan = off', { type: 'set', name: 'enable_seqscan', value: 'off', local: false }],
    ['set my.thing to default', { type: 'set', name: 'my.thing', value: undefined, local: false }],
    ["set time zone 'UTC'", { type: 'set', name: 'timezone', value: 'UTC', local: false }],
    ['set role bob', { type: 'set', name: 'role', value: 'bob', local: false }],
    [
      'set names utf8'.replace('utf8', "'utf8'"),
      { type: 'set', name: 'client_encoding', value: 'utf8', local: false },
    ],
    ['reset all', { type: 'reset', name: undefined }],
    ['reset role', { type: 'reset', name: 'role' }],
    ['show all', { type: 'show', name: undefined }],
    ['alter system set A.b = 10', { type: 'alterSystem', name: 'a.b', value: '10' }],
    ["alter system set x to '10 s'", { type: 'alterSystem', name: 'x', value: '10 s' }],
    ['alter system set x to on', { type: 'alterSystem', name: 'x', value: 'on' }],
    ['alter system set x to default', { type: 'alterSystem', name: 'x', value: undefined }],
    ['alter system reset x', { type: 'alterSystem', name: 'x', value: undefined }],
    ['alter system reset all', { type: 'alterSystem', name: undefined, value: undefined }],
    ['select pg_reload_conf()', { type: 'reloadConf', column: 'pg_reload_conf' }],
    ['select pg_catalog.pg_backend_pid() as me', { type: 'backendPid', column: 'me' }],
    ['select pg_cancel_backend(12)', { type: 'signal', how: 'cancel', pid: 12, column: 'pg_cancel_backend' }],
    [
      "select pg_terminate_backend('12', 500)",
      { type: 'signal', how: 'terminate', pid: 12, column: 'pg_terminate_backend' },
    ],
    ['show TimeZone', { type: 'show', name: 'timezone' }],
    [
      "select pg_catalog.set_config('search_path', '', false)",
      { type: 'setConfig', name: 'search_path', value: '', local: false },
    ],
    ['discard all', { type: 'discard', target: 'all' }],
    ['discard temp', { type: 'discard', target: 'temp' }],
    [
      'prepare p (int, numeric(10,2)) as select $1, $2',
      { type: 'prepare', name: 'p', argTypes: ['int', 'numeric(10,2)'], sql: 'select $1, $2' },
    ],
    [
      'prepare p as insert into t values (1)',
      { type: 'prepare', name: 'p', argTypes: [], sql: 'insert into t values (1)' },
    ],
    [
      "execute p (1, 'a,b', null)",
      { type: 'execute', name: 'p', args: ['1', "'a,b'", 'null'], constants: ['1', 'a,b', null] },
    ],
    [
      'execute p (f(1, 2), array[3, 4])',
      { type: 'execute', name: 'p', args: ['f(1, 2)', 'array[3, 4]'], constants: undefined },
    ],
    ['execute p', { type: 'execute', name: 'p', args: [], constants: [] }],
    ['deallocate all', { type: 'deallocate', name: undefined }],
    ['deallocate prepare p', { type: 'deallocate', name: 'p' }],
    [
      'declare c binary scroll cursor with hold for select * from t',
      { type: 'declareCursor', name: 'c', sql: 'select * from t', binary: true, scroll: true, hold: true },
    ],
    ['fetch all from c', { type: 'fetch', name: 'c', move: false, direction: 'forward', count: 'all' }],
    ['fetch 5 in c', { type: 'fetch', name: 'c', move: false, direction: 'forward', count: 5 }],
    ['move backward 2 from c', { type: 'fetch', name: 'c', move: true, direction: 'backward', count: 2 }],
    ['fetch absolute -1 from c', { type: 'fetch', name: 'c', move: false, direction: 'absolute', count: -1 }],
    ['close all', { type: 'closeCursor', name: undefined }],
    ['unlisten *', { type: 'unlisten' }],
  ]
  for (const [sql, action] of cases) t.strictSame(planOf(sql), { kind: 'session', action }, sql)
  t.end()
})

t.test('what is not supported says so, with a hint', (t) => {
  for (const sql of [
    "prepare transaction 'x'",
    "commit prepared 'x'",
    'lock table t',
    'listen a',
    "notify a, 'b'",
    'create database d',
    'select pg_advisory_lock(1)',
    'select pg_reload_conf() from t',
    'select pg_reload_conf(), 1',
    "select pg_notify('a', 'b')",
    'select reads()',
    "select set_config('a', v, false) from t",
    'create temp table x(a int)',
    'create table x(a int) partition by list (a)',
    'create table x() inherits (t)',
    'alter table t set distributed by (v)',
    'alter table t drop column k',
    'alter table t alter k type bigint',
    'create index concurrently on t(v)',
    "copy t to '/tmp/x'",
    "copy t from program 'x'",
    'copy t from stdin (format binary)',
    "copy t from stdin (encoding 'latin1')",
    'create trigger x before insert on t execute function pure()',
    'merge into t using u on t.k = u.k when matched then delete',
    'update t set k = 2 where k = 1',
    'insert into t values (1) on conflict (k) do update set k = 2',
    'delete from t where current of c',
    'update rep set at = now()',
    "update t set n = nextval('s')",
    'delete from tv',
    'select * into x from t',
    'create materialized view m as select 1',
    'insert into tv values (1)',
    'do $$ begin delete from t; end $$',
    'do $$ begin create role app login; exception when duplicate_object then null; end $$',
    'do $$ begin if true then drop schema s; end if; end $$',
    'explain analyze insert into serials(v) values (1)',
    'alter table t add column x serial',
    'alter table t add column x int default random()',
    'select xmin from t',
    "select currval('s')",
    'select pg_terminate_backend(1), 2',
    'select pg_terminate_backend(k) from t',
    'select pg_promote()',
    'select k from t where k <> pg_backend_pid()',
    'explain execute p',
    'update serials set id = default, v = 1',
    'update ident set v = 1, id = default',
    'update rep set at = default',
    'insert into rep(id, at) values (1, null) on conflict (id) do update set at = default',
    'alter table rep add column x timestamptz default now()',
    'create table x(a int default reads())',
    "insert into t values (1, set_config('a', 'b', true))",
    'select * from rep for update',
    'with a as (insert into t values (1) returning *) select * from a',
    'create table x(c int, exclude using gist (c with &&))',
  ]) {
    const plan = planOf(sql)
    t.match(plan, { kind: 'unsupported', code: '0A000', message: /./, hint: /./ }, sql)
  }
  t.end()
})

t.test('syntax errors carry their position in characters', (t) => {
  t.match(planOf("select 'é', * fro t"), {
    kind: 'unsupported',
    code: '42601',
    message: 'syntax error at or near "fro"',
    position: 15,
  })
  t.match(planOf('  selec 1'), { code: '42601' })
  t.match(planner.planOne('select 1; select 2', catalog).plan, {
    code: '42601',
    message: /multiple commands/,
  })
  t.strictSame(
    planner.plan('  -- nothing\n ;; ', catalog).map(({ plan }) => plan),
    [{ kind: 'empty' }],
  )
  t.strictSame(
    planner.plan('', catalog).map(({ plan }) => plan),
    [{ kind: 'empty' }],
  )
  t.strictSame(
    planner
      .plan("begin; insert into t values (1, 'é;'); /* x */ commit ;", catalog)
      .map(({ sql, plan }) => [sql, plan.kind]),
    [
      ['begin', 'session'],
      ["insert into t values (1, 'é;')", 'insert'],
      ['commit', 'session'],
    ],
  )
  t.end()
})

t.test('keys are found through casts, parameters and both sides of =, and nowhere else', (t) => {
  const key = (sql: string, types: string[] = []) => {
    const { plan } = planner.planOne(sql, catalog, types)
    return plan.kind === 'direct'
      ? plan.key
          .map((part) =>
            part.source === 'constant'
              ? part.text
              : part.source === 'param'
                ? `$${part.number}:${part.paramType ?? ''}`
                : '?',
          )
          .join()
      : plan.kind
  }
  const cases: [string, string, string[]?][] = [
    ['select * from t where k = 1', '1'],
    ['select * from t where -1 = k', '-1'],
    ["select * from t where k = '1'", '1'],
    ["select * from t where k = '1'::int8 and v like 'x%'", '1'],
    ['select * from t where k = 1::bigint', '1'],
    ['select * from t where k = $1', '$1:'],
    ['select * from t where k = $1', '$1:bigint', ['bigint']],
    ['select * from t where k = $1::int', '$1:', []],
    ['select * from t where k = $1', 'pushdown', ['numeric']],
    ['select * from t where k = 1.0', 'pushdown'],
    ['select * from t where k = 1.5::int', 'pushdown'],
    ['select * from t where k = 1 + 1', '2'],
    ['select * from t where k = 5 - (3 + 4)', '-2'],
    ['select * from t where k = 2147483647 + 1', 'pushdown'],
    ['select * from t where k = 1 * 2', 'pushdown'],
    ['select * from t where k = 1 + 1.5', 'pushdown'],
    ['select * from t where k = null', 'pushdown'],
    ['select * from t where k > 1', 'pushdown'],
    ['select * from t where not (k = 1)', 'pushdown'],
    ["select * from t where k = 1 or v = 'a'", 'pushdown'],
    ["select * from t where (k = 1) and (n > 3 and v = 'a')", '1'],
    ['select * from t where k + 0 = 1', 'pushdown'],
    ['select * from t x where x.k = 1', '1'],
    ['select * from t as x(a, b) where a = 1', '1'],
    ['select * from t as x(a, b) where b = 1', 'pushdown'],
    ['select * from public.t where public.t.k = 1', '1'],
    ['select * from other.far where k = 9', '9'],
    ['select * from "Odd Name" where "K y" = 4', '4'],
    ["select * from two where b = 'x' and a = 3", '3,x'],
    ['select * from two where a = 3', 'pushdown'],
    ["select * from names where name = 'x'", 'x'],
    ['select * from names where name = 5', 'pushdown'],
    ["select * from days where d = '2024-01-01'", '2024-01-01'],
    ["select * from days where d = date '2024-01-01'", '2024-01-01'],
    ["select * from days where d = timestamp '2024-01-01'", 'pushdown'],
    ["select * from days where d = 'today'", 'pushdown'],
    ['select * from money where amount = 1.50', '1.50'],
    ['select * from money where amount = 2', '2'],
    ['select t.k from t, u where t.k = u.k and u.k = 5', '5'],
    [
      'select t.k from t join u on t.k = u.k join rep on rep.id = t.k where t.k = $1 order by 1 limit 1',
      '$1:',
    ],
    ['select t.k from t left join u on t.k = u.k and u.k = 5', 'pushdown'],
    ['select t.k from t, u where t.k = 5 and u.k = 5', 'gathered'],
    ['select count(*) from t where k = 3 and exists (select 1 from rep where id = t.k)', '3'],
    ['select * from t where k = 3 and exists (select 1 from u where u.k = t.k)', 'gathered'],
    ['select * from t where k = 3 for update', '3'],
    ["select nextval('s') from t where k = 3", 'gathered'],
    ['select ctid, * from t where k = 3', '3'],
    ['select * from rnd where a = 1', 'pushdown'],
    ['select * from rep where id = 1', 'pushdown'],
    ['select * from missing where k = 1', 'unsupported'],
    ['select version()', 'coordinator'],
    ['select * from gp_segment_configuration', 'coordinator'],
    ['select harmless()', 'coordinator'],
    ['delete from t where k = 6 returning *', '6'],
    ['delete from t', 'pushdown'],
    ['update t set v = $2 where k = $1', '$1:', []],
    ['update pg_class set relname = relname', 'unsupported'],
  ]
  for (const [sql, expected, types] of cases) t.equal(key(sql, types), expected, sql)
  t.end()
})

t.test('inserts are placed from the text where they can be', (t) => {
  const cases: [string, string][] = [
    ['insert into t values (1)', 'insert'],
    ['insert into t(v, k) values (now(), 1)', 'insert'],
    ['insert into t(v) values (1)', 'insert'],
    ["insert into t values ('5')", 'insert'],
    ['insert into t values (default, 1)', 'insert'],
    ['insert into t values (1.5)', 'insertEvaluated'],
    ['insert into t values (now())', 'insertEvaluated'],
    ['insert into t values (1, random())', 'insert'],
    ["insert into t values (1, nextval('s'))", 'insertEvaluated'],
    ['insert into t values ((select 1))', 'insertEvaluated'],
    ['insert into t select * from t', 'insertEvaluated'],
    ['insert into t default values', 'insertEvaluated'],
    ['insert into t table u', 'insertEvaluated'],
    ['insert into t values (1) limit 1', 'insertEvaluated'],
    ['insert into t with x as (select 1) select * from x', 'insertEvaluated'],
    ['insert into days values (current_date)', 'insertEvaluated'],
    ["insert into days values ('today')", 'insertEvaluated'],
    ['insert into serials values (1, 2)', 'insert'],
    ['insert into serials(v) values (2)', 'insertEvaluated'],
    ['insert into serials values (default, 2)', 'insertEvaluated'],
    ['insert into ident(v) values (2)', 'insertEvaluated'],
    ['insert into rep values (1, 2)', 'insertEvaluated'],
    ['insert into rep(id, at) values (1, null)', 'insert'],
    ['insert into rep2 values (1, now())', 'insertEvaluated'],
    ['insert into rep2 values (1, current_user)', 'insertEvaluated'],
    ['insert into rnd values (random(), now())', 'insert'],
    ['insert into gen(k) values (1) returning twice', 'insert'],
    ['insert into pg_class values (1)', 'unsupported'],
  ]
  for (const [sql, kind] of cases) t.equal(planOf(sql).kind, kind, sql)
  const evaluated = planOf(
    'insert into serials(v) values ($1) on conflict (id) do update set v = $2 returning id',
  ) as Plan & { kind: 'insertEvaluated' }
  t.equal(
    evaluated.evaluateSql,
    'insert into serials(v) values ($1) on conflict (id) do update set v = $2\nRETURNING "id", "v"',
  )
  t.equal(evaluated.tail, 'on conflict (id) do update set v = $2 returning id')
  t.end()
})

t.test('the DISTRIBUTED clause is cut out of the text, and out of nothing else', (t) => {
  const cases: [string, string, unknown][] = [
    ['create table x(a int) distributed by (a)', 'create table x(a int)', { kind: 'by', columns: ['a'] }],
    [
      'create table x(a int, "B b" int) Distributed /* c */ By ("B b", A);',
      'create table x(a int, "B b" int)',
      { kind: 'by', columns: ['B b', 'a'] },
    ],
    [
      'create table x(a int) with (fillfactor=70) distributed randomly',
      'create table x(a int) with (fillfactor=70)',
      { kind: 'randomly' },
    ],
    ['create table x(a int) distributed replicated', 'create table x(a int)', { kind: 'replicated' }],
    [
      "create table x(a text default 'distributed by (a)' /* distributed randomly */)",
      "create table x(a text default 'distributed by (a)' /* distributed randomly */)",
      undefined,
    ],
    ['create table distributed(distributed int)', 'create table distributed(distributed int)', undefined],
    [
      'create table x(a text default $$ distributed randomly $$)',
      'create table x(a text default $$ distributed randomly $$)',
      undefined,
    ],
  ]
  for (const [sql, text, distribution] of cases) {
    const plan = planOf(sql)
    if (plan.kind !== 'ddl') return t.fail(`${sql}: ${JSON.stringify(plan)}`)
    t.equal(plan.sql, text)
    t.strictSame(plan.newTable?.distribution, distribution, sql)
  }
  const two = planner.plan(
    'create table a(x int) distributed randomly; create table b(y int); create table c(z int) distributed by (z)',
    catalog,
  )
  t.strictSame(
    two.map(({ plan }) => (plan.kind === 'ddl' ? plan.newTable?.distribution?.kind : plan.kind)),
    ['randomly', undefined, 'by'],
  )
  t.match(planOf("select 'distributed' from t where k = 1"), { kind: 'direct' })
  t.match(planOf('create table x as select 1 as a distributed by (a)'), {
    sql: 'create table x as select 1 as a\nWITH NO DATA',
    followUp: 'INSERT INTO x select 1 as a',
  })
  t.end()
})

t.test('foreign keys are not enforced, with a warning', (t) => {
  const cases: [string, string][] = [
    ['create table x(a int references t)', 'create table x(a int references t NOT ENFORCED)'],
    [
      'create table x(a int references t(k) on delete set null not null, b int)',
      'create table x(a int references t(k) on delete set null NOT ENFORCED not null, b int)',
    ],
    [
      'create table x(a int, constraint f foreign key (a) references t(k) match full deferrable initially deferred)',
      'create table x(a int, constraint f foreign key (a) references t(k) match full deferrable initially deferred NOT ENFORCED)',
    ],
    [
      'alter table x add foreign key (a) references t, add column b int',
      'alter table x add foreign key (a) references t NOT ENFORCED, add column b int',
    ],
    [
      'alter table only x add constraint y foreign key (a) references t(k);',
      'alter table only x add constraint y foreign key (a) references t(k) NOT ENFORCED',
    ],
  ]
  for (const [sql, text] of cases)
    t.match(planOf(sql), { kind: 'ddl', sql: text, notices: [{ severity: 'WARNING', code: '01000' }] }, sql)
  t.end()
})

t.test('what pgbench and psql send is understood', (t) => {
  const small = {
    ...catalog,
    lookup: (schema: string | undefined, name: string) =>
      name.startsWith('pgbench_')
        ? table(name, by('aid'), 'aid:integer, bid:integer, abalance:integer, filler:character(84)')
        : catalog.lookup(schema, name),
  }
  const cases: [string, Plan['kind']][] = [
    ['drop table if exists pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers', 'ddl'],
    [
      'create table pgbench_accounts(aid int not null,bid int,abalance int,filler char(84)) with (fillfactor=100)',
      'ddl',
    ],
    ['truncate table pgbench_accounts, pgbench_branches', 'ddl'],
    ['copy pgbench_accounts from stdin with (freeze on)', 'copyIn'],
    ['vacuum analyze pgbench_branches', 'maintenance'],
    ['alter table pgbench_accounts add primary key (aid)', 'ddl'],
    [
      "insert into pgbench_accounts(aid,bid,abalance,filler) select aid, (aid - 1) / 100000 + 1, 0, '' from generate_series(1, 100) as aid",
      'insertEvaluated',
    ],
    ['UPDATE pgbench_accounts SET abalance = abalance + -5 WHERE aid = 17;', 'direct'],
    ['SELECT abalance FROM pgbench_accounts WHERE aid = 17;', 'direct'],
    [
      'INSERT INTO pgbench_accounts (aid, bid, abalance, filler) VALUES (1, 2, -3, CURRENT_TIMESTAMP);',
      'insert',
    ],
    ['select count(*) from pgbench_branches', 'gathered'],
    [
      "SELECT c.oid, c.relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid)",
      'coordinator',
    ],
    ['select * from gp_segment_configuration order by dbid', 'coordinator'],
    ['select gp_request_fts_probe_scan()', 'coordinator'],
  ]
  for (const [sql, kind] of cases)
    t.equal(planner.plan(sql, { ...small, version: 3 })[0]?.plan.kind, kind, sql)
  t.end()
})

t.test('schema changes run everywhere', (t) => {
  for (const [sql, command] of [
    ['drop table if exists t, u cascade', 'DROP TABLE'],
    ['drop view v', 'DROP VIEW'],
    ['truncate t', 'TRUNCATE TABLE'],
    ['create index on t(v)', 'CREATE INDEX'],
    ['create schema s', 'CREATE SCHEMA'],
    ['create view v as select * from t', 'CREATE VIEW'],
    ['create sequence s', 'CREATE SEQUENCE'],
    ["create type e as enum ('a')", 'CREATE TYPE'],
    ['grant select on t to public', 'GRANT'],
    ["create role r login password 'x'", 'CREATE ROLE'],
    ["comment on table t is 'x'", 'COMMENT'],
    ['alter table t rename to x', 'ALTER TABLE'],
    ['alter table t rename column v to w', 'ALTER TABLE'],
    ["create function f() returns int language sql as 'select 1'", 'CREATE FUNCTION'],
    ['create extension if not exists plpgsql', 'CREATE EXTENSION'],
    ['drop role r', 'DROP ROLE'],
  ])
    t.match(planOf(sql as string), {
      kind: 'ddl',
      command: command as string,
      where: 'everywhere',
      sql: sql as string,
    })
  t.match(planOf('create unique index on t(k, v)'), { kind: 'ddl', checkUnique: { name: 't' } })
  t.match(planOf('alter table t add unique (v)'), { kind: 'ddl', checkUnique: { name: 't' } })
  for (const [sql, command] of [
    ['vacuum full t', 'VACUUM'],
    ['analyze', 'ANALYZE'],
    ['checkpoint', 'CHECKPOINT'],
    ['reindex table t', 'REINDEX'],
  ])
    t.match(planOf(sql as string), { kind: 'maintenance', command: command as string })
  t.end()
})

t.test('a new table gets the policy that Greenplum would give it', (t) => {
  const unique = (columns: string[], primary = false) => ({ name: columns.join('_'), primary, columns })
  const choose = (
    columns: string,
    uniqueIndexes: ReturnType<typeof unique>[],
    clause?: Parameters<typeof choosePolicy>[0],
  ) => choosePolicy(clause, table('n', undefined, columns, { uniqueIndexes }))
  t.match(choose('a:integer, b:text', []), {
    ok: true,
    policy: { kind: 'hash', columns: ['a'], types: ['integer'] },
    notices: [{ severity: 'NOTICE', message: /Using column named 'a'/, hint: /minimize skew/ }],
  })
  t.match(choose('p:point, b:character_varying(3)', []), {
    ok: true,
    policy: { columns: ['b'], types: ['character varying'] },
  })
  t.match(choose('p:point', []), { ok: true, policy: { kind: 'random' } })
  t.match(choose('a:integer, b:text', [unique(['b'], true)]), {
    ok: true,
    policy: { columns: ['b'] },
    notices: [],
  })
  t.match(choose('a:integer, b:text', [unique(['b', 'a'], true), unique(['a'])]), {
    ok: true,
    policy: { columns: ['a'] },
  })
  t.match(choose('a:integer, b:text', [unique(['b'], true), unique(['a'])]), {
    ok: false,
    error: { code: '42P16' },
  })
  t.match(choose('a:integer, b:text', [unique(['b'], true)], { kind: 'by', columns: ['a'] }), {
    ok: false,
    error: { code: '42P16', detail: /"a" is not included/ },
  })
  t.match(choose('a:integer, b:text', [unique(['b', 'a'], true)], { kind: 'by', columns: ['a'] }), {
    ok: true,
  })
  t.match(choose('a:integer, b:text', [unique(['b'])], { kind: 'randomly' }), {
    ok: false,
    error: { code: '42P16', message: 'UNIQUE and DISTRIBUTED RANDOMLY are incompatible' },
  })
  t.match(choose('a:integer, b:text', [unique(['b'])], { kind: 'replicated' }), {
    ok: true,
    policy: { kind: 'replicated' },
  })
  t.match(choose('a:integer', [], { kind: 'by', columns: ['z'] }), { ok: false, error: { code: '42703' } })
  t.match(choose('a:integer', [], { kind: 'by', columns: ['a', 'a'] }), {
    ok: false,
    error: { code: '42701' },
  })
  t.match(choose('a:point', [], { kind: 'by', columns: ['a'] }), { ok: false, error: { code: '42704' } })
  t.match(checkUniqueIndexes(table('n', by('a'), 'a:integer, b:text', { uniqueIndexes: [unique(['b'])] })), {
    code: '42P16',
  })
  t.equal(
    checkUniqueIndexes(table('n', by('a'), 'a:integer, b:text', { uniqueIndexes: [unique(['b', 'a'])] })),
    undefined,
  )
  t.end()
})

t.test('COPY out and EXPLAIN', (t) => {
  t.match(planOf('copy t to stdout csv header'), {
    kind: 'copyOut',
    from: 'all',
    segmentSql: 'COPY "public"."t" ("k", "v", "n", "at") TO STDOUT WITH (FORMAT csv, HEADER true)',
    headerlessSql: 'COPY "public"."t" ("k", "v", "n", "at") TO STDOUT WITH (FORMAT csv)',
  })
  t.match(planOf('copy rep2(id) to stdout'), { kind: 'copyOut', from: 'any' })
  t.match(planOf('copy (select v from t where n > 1) to stdout'), {
    kind: 'copyOut',
    from: 'all',
    segmentSql: 'COPY (select v from t where n > 1\n) TO STDOUT',
  })
  t.match(planOf('copy (select count(*) from t) to stdout'), {
    kind: 'copyOut',
    from: 'coordinator',
    gather: [{ from: 'all' }],
  })
  t.match(planOf('copy (select 1) to stdout'), { kind: 'coordinator' })
  t.match(planOf('explain (costs off) select * from t where k = 3'), {
    kind: 'explain',
    prefix: 'explain (costs off)',
    plan: { kind: 'direct' },
    planned: { sql: 'select * from t where k = 3' },
    lines: [/direct/],
  })
  t.match(planOf('explain analyze verbose select count(*) from rep'), {
    kind: 'explain',
    analyze: true,
    plan: { kind: 'pushdown', oneContentOnly: true },
  })
  t.match(planOf('explain (analyze, format json) select 1'), { kind: 'explain', format: 'other' })
  t.match(planOf('explain select sum(k) from t'), { lines: [/gathered/, /gather from all segments/] })
  t.end()
})
