/**
 * A random walk through failures: processes of a cluster are killed, stopped and continued while clients write; after each step it is mended, and in the
 * end every row is compared with what the clients were told. Usage:
 *
 *     npx tsx examples/chaos-walk/walk.ts [--seed 7] [--steps 3] [--writers 4] [--segments 2]
 *
 * The seed decides which steps are taken; when exactly a process dies is up to the machine. Exit status 0 only if nothing acknowledged is lost,
 * nothing is there twice, and no transaction is there in part.
 */
import { parseArgs } from 'node:util'
import pg from 'pg'
import type { Cluster } from 'mirabelle'
import { runExample, storyteller } from '../lib/run-example.ts'
import { withCluster } from '../lib/with-cluster.ts'
import { Load } from './load.ts'
import { SeededRandom } from './random.ts'
import { harm, mend } from './steps.ts'

const MEND_MS = 120_000

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    steps: { type: 'string', default: '3' },
    writers: { type: 'string', default: '4' },
    segments: { type: 'string', default: '2' },
  },
})

await runExample(() => withCluster({ segments: Number(values.segments) }, walk))

async function walk(cluster: Cluster): Promise<boolean> {
  const tell = storyteller()
  const random = new SeededRandom(Number(values.seed))
  const load = new Load(() => cluster.connectionString)
  tell(`seed ${values.seed}, ${values.steps} steps, ${values.writers} writers`)
  await query(cluster, 'CREATE TABLE walk (id int PRIMARY KEY) DISTRIBUTED BY (id)')
  load.begin(Number(values.writers))
  try {
    for (let step = 1; step <= Number(values.steps); step += 1) {
      await progress(load)
      const { what, lastsMs, release } = await harm(cluster, random)
      tell(`${step}. ${what}; ${load.acked} units acknowledged so far`)
      try {
        await pause(lastsMs)
      } finally {
        release?.()
      }
      const begunAt = performance.now()
      await mend(cluster, MEND_MS)
      tell(`   well again ${((performance.now() - begunAt) / 1000).toFixed(1)} s after the mending began`)
    }
    await progress(load)
  } finally {
    await load.end()
  }
  const found = (await query(cluster, 'SELECT id FROM walk')).map(({ id }) => Number(id))
  const verdict = load.judge(found)
  tell(
    Object.entries(verdict)
      .map(([name, count]) => `${name} ${count}`)
      .join(', '),
  )
  const ok = verdict.lost + verdict.doubled + verdict.unexpected + verdict.torn === 0
  tell(ok ? 'OK' : `FAILED: repeat it with --seed ${values.seed} --steps ${values.steps}`)
  return ok
}

/** Resolves when clients get on: they must after every mending. */
async function progress(load: Load): Promise<void> {
  const wanted = load.acked + 20
  for (const giveUpAt = performance.now() + MEND_MS; load.acked < wanted;) {
    if (performance.now() > giveUpAt) throw new Error('clients do not get on although the cluster is well')
    await pause(50)
  }
}

async function query(cluster: Cluster, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: cluster.connectionString })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
