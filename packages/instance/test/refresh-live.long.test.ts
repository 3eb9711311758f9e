import t from 'tap'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { asMirror, CHECK, fill, promote } from './support/copy-kit.ts'
import { sizeOf } from './support/folder-size.ts'
import {
  caughtUp,
  clusterFolder,
  realPorts,
  startInstance,
  unlessEnded,
  until,
  type Started,
} from './support/real-pair.ts'
import { REFRESH_SETTINGS } from './support/refresh-settings.ts'
import { tappedDisk, type Step, type Tap } from './support/tapped-disk.ts'

t.setTimeout(300_000)

const MIB = 1024 * 1024
const IN_PLACE: Step = 'rename base-next pgdata'

interface Teardown {
  teardown(fn: () => unknown): void
}

/** A primary with rows, and how to start its mirror, which refreshes its base after little WAL; `tap` sees what it does to its folder. */
async function pair(t: Teardown) {
  const { base, remove } = await clusterFolder([2, 3])
  t.teardown(remove)
  const ports = realPorts('dbid2')
  const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 }, 'auto', ports, REFRESH_SETTINGS)
  await primary.started
  t.teardown(() => primary.actor.stop('immediate'))
  await fill(primary, 2_000)
  const startMirror = async (tap: Tap = () => undefined): Promise<Started> => {
    const mirrorPorts = { ...realPorts('dbid3'), disk: tappedDisk(join(base, 'dbid3'), tap) }
    const peer = asMirror(primary.actor.port)
    const mirror = startInstance(base, 3, 'm', peer, 'auto', mirrorPorts, REFRESH_SETTINGS)
    t.teardown(() => mirror.actor.stop('immediate'))
    await mirror.started
    return mirror
  }
  return { base, primary, startMirror }
}

const writeOn = (primary: Started) => primary.sql('UPDATE t SET n = n + 1 WHERE id % 2 = 0')

/** Nothing of a refresh is left but the base itself. */
function tidy(mirror: Started): Promise<unknown> {
  return until(
    () => readdir(mirror.datadir),
    (names) => !names.some((name) => name.startsWith('base-')),
    'the folder of the mirror is tidy',
  )
}

/** Writes until a refresh begins, and waits for its end. */
async function refreshed(primary: Started, mirror: Started): Promise<void> {
  const { baseLsn } = mirror.actor.status()
  while (mirror.actor.status().detail === '') await writeOn(primary)
  await unlessEnded(
    mirror,
    until(
      () => mirror.actor.status(),
      (now) => now.baseLsn !== baseLsn && now.detail === '',
      'the base is refreshed',
    ),
  )
}

t.test('WAL on disk and the restart of a mirror stay bounded over several refreshes', async (t) => {
  const { primary, startMirror } = await pair(t)
  let acknowledged = 0
  const mirror = await startMirror(async (step, when) => {
    if (step !== IN_PLACE || when !== 'before' || acknowledged > 0) return
    await primary.sql('INSERT INTO t VALUES (-1)')
    const { flushLsn } = await until(
      () => mirror.actor.status(),
      (now) => now.flushLsn >= primary.engine.flushLsn(),
      'WAL is acknowledged while PostgreSQL is away for the switch',
    )
    t.equal(mirror.actor.roleState, 'mirror')
    acknowledged = flushLsn
  })
  const sizes: number[] = []
  for (let round = 0; round < 3; round++) {
    await refreshed(primary, mirror)
    sizes.push(await sizeOf(mirror.datadir))
    const { flushLsn, baseLsn, baseRefreshedAt } = mirror.actor.status()
    t.ok(flushLsn - baseLsn < 4 * MIB, `${flushLsn - baseLsn} bytes of WAL since the base`)
    t.ok((baseRefreshedAt ?? 0) > Date.now() - 60_000)
    const names = (await readdir(join(mirror.datadir, 'wal'))).sort()
    t.ok(names.length <= (flushLsn - baseLsn) / MIB + 2, `${names.length} segments of received WAL`)
  }
  await tidy(mirror)
  t.ok(acknowledged > 0, 'WAL was acknowledged while PostgreSQL was away for the switch')
  const [, second = 0, ...others] = sizes
  for (const size of others)
    t.ok(size < second + 8 * MIB, `${size} bytes, ${second} after the second refresh`)

  await mirror.actor.stop('immediate')
  const again = await startMirror()
  await unlessEnded(again, caughtUp(primary, again))
  const expected = await primary.sql(CHECK)
  await primary.actor.stop('immediate')
  await promote(again)
  t.same(await again.sql(CHECK), expected, 'promoted right after a refresh and a restart')
})

/** All of them with REFRESH_EVERY_MOMENT=1; each makes a pair. */
const moments: readonly Step[] =
  process.env['REFRESH_EVERY_MOMENT'] === '1'
    ? [
        'makeDir base-next/base',
        'write base-next/backup_label',
        'rename pgdata base-old',
        IN_PLACE,
        'rename base-old base-trash',
      ]
    : ['write base-next/backup_label', IN_PLACE]
for (const moment of moments) {
  t.test(`a promotion that is asked for at "${moment}" takes over with every row`, async (t) => {
    const { base, primary, startMirror } = await pair(t)
    let isReached = false
    let expected: Awaited<ReturnType<typeof primary.sql>> = []
    const mirror = await startMirror(async (step, when) => {
      if (step !== moment || when !== 'before' || isReached) return
      isReached = true
      await primary.sql('INSERT INTO t VALUES (-1)')
      expected = await primary.sql(CHECK)
      await until(
        () => mirror.actor.status().flushLsn,
        (lsn) => lsn >= primary.engine.flushLsn(),
        'the mirror has all',
      )
      mirror.actor.requestPromote()
    })
    while (mirror.actor.status().detail === '') await writeOn(primary)
    await unlessEnded(
      mirror,
      until(
        () => mirror.actor.roleState,
        (state) => state === 'primary',
        'promotion',
      ),
    )
    t.same(await mirror.sql(CHECK), expected)
    await tidy(mirror)
    await mirror.sql('INSERT INTO t VALUES (-2)')
    const after = await mirror.sql(CHECK)
    await mirror.actor.stop('immediate')
    await primary.actor.stop('immediate')
    const again = startInstance(base, 3, 'p', null)
    t.teardown(() => again.actor.stop('immediate'))
    await again.started
    t.same(await again.sql(CHECK), after, 'and a restart finds the same')
  })
}
