/** Plans carried out literally on several engines answer as one PostgreSQL that holds everything. */
import t, { type Test } from 'tap'
import { MiniCluster } from './mini-cluster.ts'

const cluster = await MiniCluster.start(2)
t.teardown(() => cluster.stop())

await cluster.ddl('create table t(k int primary key, v text, n numeric, d date default now())')
await cluster.ddl(
  'create table u(id serial, k int, w text) distributed by (k)',
  'create table u(id serial, k int, w text)',
)
await cluster.ddl(
  'create table two(a int, b text, c int, primary key(a, b)) distributed by (a, b)',
  'create table two(a int, b text, c int, primary key(a, b))',
)
await cluster.ddl('create table r(x int, y text) distributed randomly', 'create table r(x int, y text)')
await cluster.ddl(
  'create table rep(id int primary key, label text) distributed replicated',
  'create table rep(id int primary key, label text)',
)
await cluster.ddl(
  'create table big(k bigint, m numeric(10,2)) distributed by (m)',
  'create table big(k bigint, m numeric(10,2))',
)
await cluster.ddl(
  'create table fk(k int primary key, r int references t(k) on delete cascade not null, s int)',
  'create table fk(k int primary key, r int not null, s int)',
)
await cluster.ddl('create view tv as select t.k, t.v, u.w from t join u on t.k = u.k')
await cluster.ddl('create view tvv as select k, count(*) as c from tv group by k')

/** Statements that both sides run; `kind` is the plan expected. Rows are compared as sorted lists unless `ordered`. */
async function same(
  t: Pick<Test, 'equal' | 'strictSame'>,
  kind: string,
  sql: string,
  params: (string | null)[] = [],
): Promise<void> {
  const mine = await cluster.run(sql, params)
  const { rows } = await cluster.oracle.query(sql, params, { rowMode: 'array' })
  const ordered = /order by/i.test(sql)
  const list = (all: unknown[]) => (ordered ? all : [...all].map((row) => JSON.stringify(row)).sort())
  t.equal(mine.kind, kind, `${sql} is ${kind}`)
  t.strictSame(list(mine.rows), list(rows as unknown[]), sql)
}

t.test('rows are placed, and found where they were placed', async (t) => {
  await same(
    t,
    'insert',
    `insert into t values ${Array.from({ length: 40 }, (_, i) => `(${i}, 'v${i % 7}', ${i}.5)`).join(', ')}`,
  )
  await same(t, 'insert', "insert into t(v, k) values ('minus', -3), ('long', 2000000000) returning k, v")
  await same(t, 'insert', "insert into t(k, v) values ('77', 'text key')")
  await same(t, 'insert', 'insert into t(k, v) values ($1, $2)', ['78', 'param'])
  await same(t, 'insertEvaluated', "insert into u(k, w) values (1, 'a'), (2, 'b'), (3, null) returning id, k")
  await same(
    t,
    'insertEvaluated',
    "insert into u(k, w) select g, 'w' || g from generate_series(4, 30) g returning id, w",
  )
  await same(t, 'insertEvaluated', 'insert into t(k, v) values (1000 * 1 + 1, $1) returning *', ['evaluated'])
  await same(t, 'insert', "insert into two values (1, 'x', 1), (1, 'y', 2), (2, 'x', 3)")
  await same(t, 'insertEvaluated', 'insert into two select k % 5, v || k, k from t where k between 3 and 30')
  await same(t, 'insert', "insert into r values (1, 'a'), (2, 'b'), (3, 'c')")
  await same(t, 'insert', "insert into rep values (1, 'one'), (2, 'two'), (3, 'three') returning *")
  await same(t, 'insert', "insert into big values (1, 1.005), (2, 7), (3, '12.30')")
  await same(
    t,
    'insert',
    "insert into t values (1, 'again') on conflict (k) do update set v = excluded.v returning k, v",
  )
  await same(t, 'insert', 'insert into t values (1), (2) on conflict do nothing')
  await same(
    t,
    'insertEvaluated',
    "insert into t select k, 'up' from u where k < 5 on conflict (k) do update set v = excluded.v || t.v returning t.k, v",
  )
  await same(t, 'insert', 'insert into fk values (1, 4, 4), (2, 99999, 5)')
  for (let k = 0; k < 40; k++) await same(t, 'direct', `select * from t where k = ${k}`)
  await same(t, 'direct', 'select m from big where m = 1.01')
  await same(t, 'direct', 'select m from big where m = 12.3')
  await same(t, 'direct', "select c from two where a = 1 and b = 'y'")
  await same(t, 'direct', 'select v from t where k = -3')
})

t.test('reads', async (t) => {
  const cases: [string, string][] = [
    ['pushdown', 'select * from t'],
    ['pushdown', "select k, upper(v) as up from t where v like 'v%' and n > 3"],
    ['pushdown', 'select t.k, u.w from t join u on t.k = u.k'],
    ['pushdown', 'select t.k, u.w from t, u where u.k = t.k and u.w is not null'],
    ['pushdown', 'select t.k, u.w from t left join u using (k)'],
    ['pushdown', 'select t.k, label from t left join rep on rep.id = t.k'],
    ['gathered', 'select t.k, label from rep left join t on rep.id = t.k'],
    ['gathered', 'select t.k, u.w from t full join rep on true left join u on u.k = rep.id'],
    ['pushdown', 'select t.k, u.w from t full join u on u.k = t.k'],
    ['gathered', 'select t.k, u.id from t join u on t.k = u.id'],
    ['gathered', 'select t.k, u.w from t natural join u'],
    ['pushdown', 'select k from t union all select k from u where w is null'],
    ['gathered', 'select k from t union select k from u'],
    ['gathered', 'select k from t union all select 1'],
    ['direct', 'select count(*), max(w) from t join u using (k) where t.k = 7'],
    ['direct', 'select t.k, u.w from t left join u on u.k = t.k where t.k = 7'],
    ['gathered', 'select count(*) from t'],
    ['gathered', "select count(*), sum(n) from t where v = 'v1'"],
    ['gathered', 'select v, count(*) as c from t group by v order by v'],
    ['gathered', 'select t.*, count(u.w) from t left join u on u.k = t.k group by t.k order by t.k'],
    ['gathered', 'select k, v from t order by k desc limit 5'],
    ['gathered', 'select distinct v from t'],
    ['gathered', 'select k, row_number() over (order by k) from t order by 1'],
    ['gathered', 'select * from t where k in (select k from u where id > 5)'],
    [
      'gathered',
      'with x as (select k from t), t as (select 5 as k) select t.k, x.k from t join x on x.k > 35 order by 2',
    ],
    ['coordinator', 'with t as (select 5 as k) select * from t'],
    ['gathered', 'select public.t.k, public.t.v from public.t order by public.t.k'],
    ['gathered', 'select a.k, b.k from t a, t b where a.k + 1 = b.k order by a.k'],
    ['gathered', 'select t from t order by k'],
    ['gathered', 'select x, (select max(k) from t where t.k < r.x) from only r order by x'],
    ['gathered', 'select count(*) from only (t)'],
    ['pushdown', 'select * from rep order by id'],
    ['pushdown', 'select count(*) from rep where id in (select id from rep where id > 1)'],
    ['gathered', "select c.relname, count(*) from t, pg_class c where c.relname = 'pg_class' group by 1"],
    ['gathered', 'select * from tv order by k'],
    ['gathered', 'select * from tvv where k > 3 order by k'],
    ['gathered', 'select z.c from tvv as z where z.k = 4'],
    ['gathered', 'select a1, b1 from t as x(a1, b1) order by a1'],
    ['gathered', "select count(*) from t where v = 'where' or v = $$ group $$ or k < 4"],
    ['gathered', 'select sum(k) from (select k from t where k > 3 order by k limit 3) s'],
    [
      'gathered',
      'select k from t where exists (select 1 from u where u.k = t.k and u.id < 5) order by k for'.replace(
        ' for',
        '',
      ),
    ],
    ['gathered', 'select /* from u where */ max(k) -- t\n from t -- u\n where k < 20 -- and'],
    ['coordinator', 'select 1 + 1'],
    ['gathered', 'table t order by k'.replace('table t', 'select * from t')],
    ['gathered', "select string_agg(v, ',' order by k) from t"],
    ['gathered', 'select d.k from t d where d.k = any (array[1, 2, 77]) order by 1'],
    ['pushdown', 'select k from t where k = any (array[1, 2, 77])'],
    ['pushdown', 'select k from t where k = 1 or k = 2'],
    ['gathered', 'select k, case when k > 5 then (select count(*) from rep) end from t order by k'],
    ['gathered', 'values (1), ((select max(k) from t))'],
  ]
  for (const [kind, sql] of cases) await same(t, kind, sql)
  await same(t, 'direct', 'select v from t where k = $1', ['77'])
  await same(t, 'direct', 'select v from t where $1 = k and v = $2', ['77', 'text key'])
  await same(t, 'gathered', 'select count(*) from t where k > $1::int', ['10'])
})

t.test('writes', async (t) => {
  const cases: [string, string][] = [
    ['direct', "update t set v = 'new' where k = 5 returning *"],
    ['pushdown', "update t set v = v || '!' where k < 10 returning k, v"],
    ['pushdown', 'update t set n = u.k from u where u.k = t.k and u.w is not null returning t.k, n'],
    ['direct', 'update t set n = 0 from u where u.k = t.k and t.k = 3 returning t.k'],
    ['pushdown', "update rep set label = label || '?' returning *"],
    ['pushdown', 'update t set v = label from rep where rep.id = t.k returning t.k, v'],
    ['pushdown', 'delete from t using u where t.k = u.k and u.k > 25 returning t.k'],
    ['direct', "delete from two where a = 1 and b = 'x' returning *"],
    ['pushdown', 'delete from rep where id = 3 returning id'],
    ['pushdown', 'update two set c = c + 1 returning *'],
    ['pushdown', 'update t set v = (select label from rep where id = 1) where k = 12 or k = 13 returning *'],
  ]
  for (const [kind, sql] of cases) await same(t, kind, sql)
  for (const name of ['t', 'u', 'two', 'r', 'rep', 'big', 'fk']) {
    await same(t, name === 'rep' ? 'pushdown' : 'pushdown', `select * from ${name}`)
  }
  for (const sql of [
    'update t set k = 1',
    'update t set v = u.w from u where u.id = t.k',
    'delete from t where k in (select k from u)',
    'update rep set label = random()::text',
    'with d as (delete from t returning *) select * from d',
    'select ctid from t',
    'select * from t order by k for update',
    'create table bad(a int primary key, b int) distributed by (b)',
    'create table bad2(a int unique) distributed randomly',
    'create table bad3 (a int) partition by range (a)',
    'lock table t',
    'select pg_advisory_lock(1)',
  ]) {
    await t.rejects(
      cluster.run(sql),
      { code: sql.startsWith('create table bad') && !sql.includes('partition') ? '42P16' : '0A000' },
      `${sql} is refused`,
    )
  }
})

t.test('CREATE TABLE AS makes a distributed table with the rows', async (t) => {
  await cluster.ddl(
    'create table c as select k, v from t distributed by (v)',
    'create table c as select k, v from t',
  )
  await same(t, 'pushdown', 'select * from c')
  t.strictSame(cluster.policies.get('c'), { kind: 'hash', columns: ['v'], types: ['text'] })
  await cluster.ddl('create table e as select g as a from generate_series(1, 10) g with no data')
  await same(t, 'pushdown', 'select * from e')
})

t.test('statements behind a schema change in one text see it', async (t) => {
  await cluster.ddl(
    "create table late(a int primary key, b text) distributed by (a); insert into late values (1, 'x'), (2, 'y'), (3, 'z')",
    "create table late(a int primary key, b text); insert into late values (1, 'x'), (2, 'y'), (3, 'z')",
  )
  await same(t, 'pushdown', 'select * from late')
  await same(t, 'direct', 'select * from late where a = 2')
})

t.test('functions that touch distributed tables are refused, others run', async (t) => {
  await cluster.ddl("create function peeks() returns bigint language sql stable as 'select count(*) from t'")
  await cluster.ddl(
    "create function calls() returns bigint language plpgsql as 'begin return peeks() + 1; end'",
  )
  await cluster.ddl("create function adds(a int) returns int language plpgsql as 'begin return a + 1; end'")
  await t.rejects(cluster.run('select peeks()'), { code: '0A000' })
  await t.rejects(cluster.run('select calls()'), { code: '0A000' })
  await same(t, 'coordinator', 'select adds(1)')
  await same(t, 'gathered', 'select adds(k) from t order by k')
})

t.test('rows of COPY land where SELECT looks for them', async (t) => {
  for (const [name, options, text] of [
    ['t', '', Array.from({ length: 50 }, (_, i) => `${5000 + i}\tc${i}\\n\\\\\t\\N\t2024-01-01\n`).join('')],
    [
      't',
      ' with (format csv, header)',
      `k,v,n,d\r\n${Array.from({ length: 50 }, (_, i) => `${i % 2 ? `"${6000 + i}"` : 6000 + i},"a ""quoted""\r\nvalue",,2024-01-01\r\n`).join('')}`,
    ],
    ['big', '', '8\t1.10\n9\t2.00\n10\t\\N\n'],
  ] as const) {
    const planned = cluster.planner.plan(`copy ${name} from stdin${options}`, cluster.catalog)[0]
    if (planned?.plan.kind !== 'copyIn') return t.fail('not copyIn')
    await cluster.copyIn(planned.plan, Buffer.from(text), 7)
    await cluster.oracle.query(`copy ${name} from '/dev/blob'${options}`, [], { blob: new Blob([text]) })
    await same(t, 'pushdown', `select * from ${name}`)
  }
  for (let i = 0; i < 50; i++)
    await same(t, 'direct', `select v from t where k = ${i % 2 ? 5000 + i : 6000 + i}`)
  await same(t, 'direct', 'select k from big where m = 1.1')
})
