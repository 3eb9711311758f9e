import t from 'tap'
import { join } from 'node:path'
import { createEngine } from '@mirabelle/engine'
import { realClock, silentLogger } from '@mirabelle/runtime'
import { decodeAnswer, queryMessage } from '../src/index.ts'
import { Autovacuum } from '../src/maintenance/autovacuum.ts'
import { clusterFolder } from './support/real-pair.ts'

/** The least that PostgreSQL takes for `autovacuum_freeze_max_age`. */
const FREEZE_MAX_AGE = 100_000
const OLDEST_SQL = 'SELECT max(age(datfrozenxid)) FROM pg_database'

t.test('autovacuum on a real PostgreSQL', async (t) => {
  const { base, remove } = await clusterFolder([2])
  const dataDir = join(base, 'dbid2')
  const engine = createEngine({
    dataDir,
    settings: { autovacuum_freeze_max_age: String(FREEZE_MAX_AGE) },
    logger: silentLogger,
    setTimer: (ms, fn) => realClock.setTimer(ms, fn),
  })
  t.teardown(async () => {
    await engine.stop('immediate')
    await remove()
  })
  await engine.startPrimary()
  let tag = 0
  const ran: string[] = []
  const run = async (sql: string) => {
    ran.push(sql)
    const result = await engine.submit({ bytes: queryMessage(sql), syncs: 1, tag: ++tag })
    return decodeAnswer(sql, result.output)
  }
  let now = 0
  let end = 0
  const state = { enabled: true, copying: false, quiet: true }
  const autovacuum = new Autovacuum({
    clock: { ...realClock, monotonic: () => now },
    log: silentLogger,
    endLsn: () => end,
    enabled: () => state.enabled,
    copying: () => state.copying,
    quietly: async (work) => {
      if (state.quiet) await work(run)
      return state.quiet
    },
  })
  /** Looks until a minute has brought nothing more to do; gives what was run. */
  const minute = async (): Promise<string[]> => {
    now += 60_000
    end += 1
    ran.length = 0
    let before = -1
    while (ran.length !== before) {
      before = ran.length
      await autovacuum.look()
    }
    return ran.filter((sql) => !sql.startsWith('SELECT'))
  }

  await t.test('takes a table with dead rows; waits while a copy runs, and for a quiet moment', async (t) => {
    await run('CREATE TABLE t (id int)')
    await run('INSERT INTO t SELECT generate_series(1, 1000)')
    await run('UPDATE t SET id = id + 1')
    await run('SELECT pg_stat_force_next_flush()')
    const vacuum = 'VACUUM (ANALYZE) "public"."t"'
    state.copying = true
    t.notOk((await minute()).includes(vacuum), 'not while a copy runs')
    state.copying = false
    state.quiet = false
    t.same(await minute(), [], 'no quiet moment')
    state.quiet = true
    t.ok((await minute()).includes(vacuum), 'it was not forgotten')
    t.same((await run(`SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 't'`))[0], ['0'])
    t.notOk((await minute()).includes(vacuum), 'once')
  })

  await t.test('old rows are frozen before transaction numbers wrap around, whatever else is', async (t) => {
    await minute()
    await run(`CREATE TABLE cold (id int)`)
    await run(`INSERT INTO cold VALUES (1)`)
    await run(`CREATE TABLE burnt (id int)`)
    await run(`DO $$ BEGIN
      FOR i IN 1..${FREEZE_MAX_AGE + 20_000} LOOP
        BEGIN INSERT INTO burnt VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END;
      END LOOP; END $$`)
    t.ok(Number((await run(OLDEST_SQL))[0]?.[0]) > FREEZE_MAX_AGE)
    state.copying = true
    state.enabled = false
    const statements = await minute()
    t.match(statements[0], /^UPDATE pg_database/, 'databases without a session')
    for (let left = 200; (await minute()).length > 0 && left > 0;) left -= 1
    const databases = await run(
      'SELECT datname, age(datfrozenxid) FROM pg_database ORDER BY age(datfrozenxid) DESC',
    )
    t.ok(Number(databases[0]?.[1]) < FREEZE_MAX_AGE, JSON.stringify(databases))
    t.equal(databases.length, 3)
    const cold = await run(`SELECT age(relfrozenxid) FROM pg_class WHERE relname = 'cold'`)
    t.ok(Number(cold[0]?.[0]) < FREEZE_MAX_AGE)
    t.same(await run('SELECT id FROM cold'), [['1']])
    t.same(await minute(), [], 'nothing is left to do')
  })
})
