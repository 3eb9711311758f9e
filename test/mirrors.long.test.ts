// A move of a mirror is interrupted at random points (the command, an agent, the new instance, the old one, the coordinator is killed) and run again: it ends well,
// the catalog is right, nothing acknowledged is lost. `ROUNDS` and `SEED` in the environment; the seed is printed.
import t from 'tap'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  pause,
  TestCluster,
  type CatalogRow,
} from '@mirabelle/testkit/cluster'

t.setTimeout(3_600_000)

const rounds = Number(process.env['ROUNDS'] ?? 20)
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
let state = seed
/** A number below `limit`, the same for each seed. */
function random(limit: number): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
  return state % limit
}

const command = fileURLToPath(new URL('../packages/cli/bin/mirabelle.js', import.meta.url))
const cluster = await TestCluster.start({ segments: 2, standby: false })
t.teardown(() => cluster.close())
const load = await Load.start(cluster, { count: 3, apart: true, restMs: 20 })
t.teardown(() => load.stop())
const { cluster: admin, dir } = cluster
await cluster.waitForCatalog('all pairs in sync', inSync)

function mirabelle(...args: string[]) {
  const child = spawn(process.execPath, [command, ...args, '--dir', dir], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
  const ended = new Promise<{ status: number | null; said: string }>((resolve) => {
    child.once('close', (status) => resolve({ status, said }))
  })
  return { child, ended }
}

const mirrorOf = async (content: number): Promise<CatalogRow> =>
  (await cluster.catalog()).find((row) => row.content === content && row.role === 'm') as CatalogRow

const victims = ['command', 'agent', 'new instance', 'old instance', 'coordinator'] as const

/** What the agent of a host says of the instance in a folder; undefined while there is none. */
async function pidAt(host: string, datadir: string): Promise<number | undefined> {
  const port = cluster.facts.hosts.find(({ name }) => name === host)?.agentPort ?? 0
  const { instances } = await cluster.ask({ addresses: ['127.0.0.1'], port }, { type: 'agent.status' })
  return instances.find((one) => one.datadir === datadir)?.pid ?? undefined
}

interface Scene {
  readonly old: CatalogRow
  readonly host: string
  readonly datadir: string
  readonly child: { kill(signal: 'SIGKILL'): boolean }
}

/** Resolves with whether there was somebody to kill. */
async function strike(
  victim: (typeof victims)[number],
  { old, host, datadir, child }: Scene,
): Promise<boolean> {
  if (victim === 'command') return child.kill('SIGKILL')
  const pids = await cluster.pids()
  const found = {
    agent: async () => Number(await readFile(join(dir, host, 'agent.pid'), 'utf8')),
    'new instance': () => pidAt(host, datadir),
    'old instance': () => pidAt(old.hostname, old.datadir),
    coordinator: () => Promise.resolve(pids.get(1)),
  }
  const pid = await found[victim]()
  if (pid === undefined) return false
  process.kill(pid, 'SIGKILL')
  return true
}

for (let round = 1; round <= rounds; round += 1) {
  const victim = victims[random(victims.length)] as (typeof victims)[number]
  const afterMs = random(6_000)
  await t.test(`round ${round} of seed ${seed}: ${victim} is killed after ${afterMs} ms`, async (t) => {
    const old = await mirrorOf(1)
    const host = old.hostname === 'host3' ? 'host1' : 'host3'
    const [port, datadir] = [old.port + 1 + round, join(dir, host, 'moved', `m${round}`)]
    const file = join(dir, 'move.input')
    await writeFile(file, `${old.hostname}|${old.port}|${old.datadir} ${host}|${port}|${datadir}\n`)
    const first = mirabelle('mirrors', 'move', '-i', file)
    await pause(afterMs)
    const struck = await strike(victim, { old, host, datadir, child: first.child })
    const { status, said } = await first.ended
    t.comment(`${struck ? 'killed' : 'nobody to kill'}; the first run ended with ${status}`)
    if (victim === 'coordinator') await admin.start()
    let again = { status: status as number | null, said }
    for (let turn = 0; turn < 3 && again.status !== 0; turn += 1) {
      await mirabelle('recover').ended
      again = await mirabelle('mirrors', 'move', '-i', file).ended
    }
    t.equal(again.status, 0, again.said)
    if (victim === 'old instance') await mirabelle('recover').ended
    const rows = await cluster.waitForCatalog('all pairs in sync', inSync, 60_000)
    t.equal(rows.length, 5)
    t.match(await mirrorOf(1), { hostname: host, port, datadir })
    t.notOk(existsSync(old.datadir), 'the folder of the old one is gone')
    await load.acks(20)
  })
}

t.test('nothing acknowledged is lost, nothing is doubled', async (t) => {
  await load.stop()
  const verdict = await load.judge()
  t.comment(describeVerdict(verdict))
  t.ok(isFaultless(verdict), 'faultless', { found: verdict })
})
