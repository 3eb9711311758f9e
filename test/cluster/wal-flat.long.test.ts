// Days of WAL in fast motion: gigabytes written through one pair with small limits, so that checkpoints and base refreshes come by the hundred. Disk and
// restart times stay flat, and every row is there. Takes an hour for its 5 GB on a busy machine; MIRABELLE_TEST_WAL_GB says how many.
import t from 'tap'
import { readdir, lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseLsn } from '@mirabelle/messages'
import { inSync, TestCluster, waitFor } from '@mirabelle/testkit/cluster'

const GB = 1024 ** 3
const MB = 1024 ** 2
const TOTAL = Number(process.env['MIRABELLE_TEST_WAL_GB'] ?? 5) * GB
const SAMPLES = 20
/** WAL since the base that the mirror replays at most, but for what comes while a refresh is under way. */
const REFRESH = 128 * MB

t.setTimeout(4 * 3_600_000)

interface Sample {
  readonly walGb: number
  readonly primaryMb: number
  readonly mirrorMb: number
  readonly mirrorWalMb: number
  /** From the kill of the mirror until it is in sync again, ms. */
  readonly mirrorBackMs: number
  /** From the start of the stopped cluster until it serves, ms. */
  readonly startMs: number
}

t.test('disk and restarts stay flat however much WAL was written', async (t) => {
  const settings = { mirror_base_refresh_size: '128MB', max_wal_size: '64MB', max_slot_wal_keep_size: '1GB' }
  const cluster = await TestCluster.start({ segments: 1, standby: false, settings })
  t.teardown(() => cluster.close())
  await cluster.query('CREATE TABLE bulk (id bigint PRIMARY KEY, round int, pad text) DISTRIBUTED BY (id)')
  await cluster.query('CREATE TABLE kept (id bigint PRIMARY KEY, round int) DISTRIBUTED BY (id)')
  await cluster.waitForCatalog('the pair in sync', inSync)
  const began = await written(cluster)
  const samples: Sample[] = []
  let round = 0
  while (samples.length < SAMPLES) {
    const target = began + (TOTAL / SAMPLES) * (samples.length + 1)
    while ((await written(cluster)) < target) {
      round++
      await cluster.query(
        `INSERT INTO bulk SELECT i, ${round}, repeat(md5((i * ${round})::text), 20) FROM generate_series(1, 8000) i
           ON CONFLICT (id) DO UPDATE SET round = excluded.round, pad = excluded.pad`,
      )
      await cluster.query(`INSERT INTO kept VALUES (${round}, ${round})`)
      if (round % 6 === 0) await cluster.query('TRUNCATE bulk')
    }
    const sample = await measure(cluster, (await written(cluster)) - began)
    samples.push(sample)
    t.comment(
      `${sample.walGb.toFixed(2)} GB of WAL: primary ${sample.primaryMb} MB, mirror ${sample.mirrorMb} MB (received WAL ${sample.mirrorWalMb} MB), mirror back in ${sample.mirrorBackMs} ms, cluster started in ${sample.startMs} ms`,
    )
  }
  const [{ count } = { count: 0 }] = await cluster.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM kept',
  )
  t.equal(count, round, 'every row that was acknowledged is there')
  const half = samples.length / 2
  for (const what of ['primaryMb', 'mirrorMb', 'mirrorWalMb'] as const) {
    const [early, late] = [samples.slice(0, half), samples.slice(half)].map((some) =>
      Math.max(...some.map((one) => one[what])),
    ) as [number, number]
    t.comment(`${what}: at most ${early} in the first half, ${late} in the second`)
    t.ok(late <= early * 1.5 + 64, `${what} is flat`)
  }
  t.ok(
    samples.every(({ mirrorWalMb }) => mirrorWalMb * MB < 4 * REFRESH),
    'the mirror keeps a few times its limit at most',
  )
  for (const what of ['mirrorBackMs', 'startMs'] as const) {
    const [early, late] = [samples.slice(0, half), samples.slice(half)].map((some) =>
      median(some.map((one) => one[what])),
    ) as [number, number]
    t.comment(`${what}: median ${early} in the first half, ${late} in the second`)
    t.ok(late <= early * 2 + 2_000, `${what} is flat`)
  }
})

/** WAL that the primary of content 0 has written, bytes. */
async function written(cluster: TestCluster): Promise<number> {
  const { instances } = await cluster.cluster.state()
  const lsn = instances.find(({ content, role }) => content === 0 && role === 'p')?.lsn
  if (lsn === null || lsn === undefined) throw new Error('the primary does not answer')
  return parseLsn(lsn)
}

async function measure(cluster: TestCluster, wal: number): Promise<Sample> {
  const [primary, mirror] = [await cluster.primaryOf(0), await cluster.mirrorOf(0)]
  const [primaryBytes, mirrorBytes, mirrorWal] = await Promise.all([
    bytesOf(primary.datadir),
    bytesOf(mirror.datadir),
    bytesOf(join(mirror.datadir, 'wal')),
  ])
  const killedAt = performance.now()
  await cluster.cluster.kill(mirror.dbid)
  await cluster.waitForCatalog('the mirror marked down', (rows) =>
    rows.some(({ dbid, status }) => dbid === mirror.dbid && status === 'd'),
  )
  await cluster.cluster.recover({ timeoutMs: 300_000 })
  await cluster.waitForCatalog('the pair in sync again', inSync, 300_000)
  const mirrorBackMs = Math.round(performance.now() - killedAt)
  await cluster.cluster.stop('fast')
  const startedAt = performance.now()
  await cluster.cluster.start({ timeoutMs: 600_000 })
  await waitFor('an answer', () => cluster.query('SELECT count(*) FROM kept'), 120_000)
  const startMs = Math.round(performance.now() - startedAt)
  await cluster.waitForCatalog('the pair in sync after the start', inSync, 300_000)
  const mb = (bytes: number): number => Math.round(bytes / MB)
  return {
    walGb: wal / GB,
    primaryMb: mb(primaryBytes),
    mirrorMb: mb(mirrorBytes),
    mirrorWalMb: mb(mirrorWal),
    mirrorBackMs,
    startMs,
  }
}

/** What a folder takes on disk; what goes away meanwhile counts nothing. */
async function bytesOf(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) bytes += await bytesOf(path)
    else bytes += ((await lstat(path).catch(() => undefined))?.blocks ?? 0) * 512
  }
  return bytes
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}
