/** What the tests of the copy do to a pair: rows, writes, divergence, promotion. */
import { caughtUp, startInstance, unlessEnded, until, type Started } from './real-pair.ts'

export const CHECK = `SELECT count(*), sum(id), sum(length(pad)), sum(n) FROM t`
export const asMirror = (port: number) => ({ dbid: 2, port })

export async function fill(primary: Started, rows: number): Promise<void> {
  await primary.sql('CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, pad text)')
  await primary.sql(`INSERT INTO t SELECT g, 0, repeat('x', 200) FROM generate_series(1, ${rows}) g`)
  // Sets the hint bits, so that reading changes no page later.
  await primary.sql('VACUUM (FREEZE, ANALYZE) t')
}

export async function promote(mirror: Started): Promise<void> {
  mirror.actor.requestPromote()
  await unlessEnded(
    mirror,
    until(
      () => mirror.actor.roleState,
      (state) => state === 'primary',
      'promotion',
    ),
  )
}

/** Writes of all kinds until `stop` is called: rows change, tables come, shrink and go. */
export function write(primary: Started): { stop: () => Promise<number> } {
  let going = true
  const rounds = (async () => {
    let round = 0
    for (; going; round++) {
      await primary.sql(`INSERT INTO t VALUES (${1_000_000 + round}, 0, repeat('y', 300))`)
      await primary.sql(`UPDATE t SET n = n + 1 WHERE id % 500 = ${round % 500}`)
      await primary.sql(`CREATE TABLE passing${round} AS SELECT * FROM t LIMIT 500`)
      if (round > 2) await primary.sql(`DROP TABLE passing${round - 2}`)
      if (round % 5 === 0) await primary.sql(`TRUNCATE passing${round}`)
      if (round % 7 === 0) await primary.sql('VACUUM t')
    }
    return round
  })()
  return {
    stop: () => {
      going = false
      return rounds
    },
  }
}

/** Primary 2 with rows and its mirror 3; then 2 writes what 3 never gets, 2 dies, 3 is promoted and writes on. */
export async function divergedPair(
  base: string,
  rows: number,
): Promise<{ successor: Started; lost: string }> {
  const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
  await primary.started
  await fill(primary, rows)
  const mirror = startInstance(base, 3, 'm', asMirror(primary.actor.port))
  await mirror.started
  await caughtUp(primary, mirror)
  await mirror.actor.stop('immediate')
  await primary.sql(`INSERT INTO t SELECT g, 7, repeat('l', 200) FROM generate_series(5000001, 5003000) g`)
  await primary.sql('UPDATE t SET n = 9 WHERE id < 100')
  await primary.sql('CREATE TABLE lost AS SELECT * FROM t LIMIT 1000')
  await primary.engine.syncWal()
  await primary.sql('CHECKPOINT')
  const lost = (await primary.sql(`SELECT pg_relation_filepath('lost')`))[0]?.[0] as string
  await primary.actor.stop('immediate')
  const successor = startInstance(base, 3, 'm', null)
  await successor.started
  await promote(successor)
  await successor.sql('UPDATE t SET n = 1 WHERE id BETWEEN 1000 AND 1100')
  return { successor, lost }
}
