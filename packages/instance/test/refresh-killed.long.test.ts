import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Lsn } from '@mirabelle/messages'
import { asMirror, fill, promote } from './support/copy-kit.ts'
import { clusterFolder, realPorts, startInstance, until, type Started } from './support/real-pair.ts'
import { REFRESH_SETTINGS } from './support/refresh-settings.ts'

t.setTimeout(300_000)

/** Moments of a refresh, in their order; all of them with REFRESH_EVERY_MOMENT=1. */
const moments =
  process.env['REFRESH_EVERY_MOMENT'] === '1'
    ? [
        'after makeDir base-next/base',
        'before write base-next/backup_label',
        'after write base-next/global/pg_control',
        'before rename pgdata base-old',
        'after rename pgdata base-old',
        'after rename base-next pgdata',
        'after rename base-old base-trash',
        'after remove base-trash',
        'after remove wal/',
      ]
    : [
        'after write base-next/global/pg_control',
        'after rename pgdata base-old',
        'after rename base-next pgdata',
        'after remove wal/',
      ]

/** A mirror in a process of its own, until it is killed at the moment. Resolves with how far the primary knows it to have acknowledged. */
async function killedAt(base: string, primary: Started, moment: string): Promise<Lsn> {
  const [when, ...step] = moment.split(' ')
  const script = fileURLToPath(new URL('./support/refresh-child.ts', import.meta.url))
  const args = [base, String(primary.actor.port), when as string, step.join(' ')]
  const child = spawn(process.execPath, ['--import=tsx', script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let isOver = false
  const exited = once(child, 'exit').then(([, signal]: unknown[]) => {
    isOver = true
    return signal
  })
  let acknowledged = 0
  const look = (): number => {
    acknowledged = Math.max(acknowledged, primary.actor.primary?.hub.mirrorStatus().flushLsn ?? 0)
    return acknowledged
  }
  const begunAt = primary.engine.flushLsn()
  while (!isOver) {
    // Enough for one refresh, and something all the time: what is acknowledged while it is made must not be lost either.
    const isMuch = primary.engine.flushLsn() > begunAt + 6 * 1024 * 1024
    await primary.sql(isMuch ? 'INSERT INTO told DEFAULT VALUES' : 'UPDATE t SET n = n + 1 WHERE id % 2 = 0')
    await primary.sql('INSERT INTO lsns SELECT max(id), pg_current_wal_insert_lsn() FROM told')
    look()
    if (isMuch) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  if ((await exited) !== 'SIGKILL') throw new Error(`the mirror was not killed at "${moment}"`)
  return look()
}

/** What a promoted copy of the mirror's folder holds. */
async function promotedCopy(base: string): Promise<Started> {
  const other = `${base}-promoted`
  await rm(other, { recursive: true, force: true })
  await cp(join(base, 'dbid3'), join(other, 'dbid3'), { recursive: true })
  await rm(join(other, 'dbid3', 'instance.lock'), { force: true })
  const copy = startInstance(other, 3, 'm', null)
  await copy.started
  await promote(copy)
  return copy
}

t.test('a mirror that is killed at any step of a refresh loses nothing that it acknowledged', async (t) => {
  const { base, remove } = await clusterFolder([2, 3])
  t.teardown(remove)
  t.teardown(() => rm(`${base}-promoted`, { recursive: true, force: true }))
  const primary = startInstance(
    base,
    2,
    'p',
    { dbid: 3, port: 1 },
    'auto',
    realPorts('dbid2'),
    REFRESH_SETTINGS,
  )
  await primary.started
  t.teardown(() => primary.actor.stop('immediate'))
  await fill(primary, 1_000)
  await primary.sql('CREATE TABLE told (id bigserial PRIMARY KEY)')
  await primary.sql('CREATE TABLE lsns (id bigint, lsn pg_lsn)')
  for (const moment of moments) {
    const acknowledged = await killedAt(base, primary, moment)
    const left = await readdir(join(base, 'dbid3'))
    const copy = await promotedCopy(base)
    const told = `SELECT coalesce(max(id), 0) FROM lsns WHERE lsn <= '0/${acknowledged.toString(16)}'`
    const [row] = await primary.sql(told)
    const [found] = await copy.sql('SELECT coalesce(max(id), 0), (SELECT count(*) FROM t) FROM told')
    t.ok(
      Number(found?.[0]) >= Number(row?.[0]) && found?.[1] === '1000',
      `${moment}: ${found?.[0]} rows, ${row?.[0]} acknowledged; left were ${left.join(' ')}`,
    )
    await copy.actor.stop('immediate')
  }

  const last = startInstance(base, 3, 'm', asMirror(primary.actor.port), 'incremental')
  t.teardown(() => last.actor.stop('immediate'))
  await last.started
  await until(
    () => readdir(join(base, 'dbid3')),
    (names) => !names.some((name) => name.startsWith('base-')),
    'the next start tidies up',
  )
})
