// What is done to the three hosts of examples/vms. Runs in a fourth host of their network.
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import t, { type Test } from 'tap'
import {
  connectToAny,
  contentOf,
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  LogWatch,
  waitFor,
  type CatalogRow,
  type TestCluster,
} from '@mirabelle/testkit/cluster'
import { runOn, sqlOn, startOnHosts, type HostCluster, type HostNetwork } from '@mirabelle/testkit/netns'
import { canEavesdrop, eavesdrop } from './eavesdropper.ts'

// Three hosts start slowly on two cores that others use, too; the limits of the single waits are lower.
t.setTimeout(1_800_000)

const ROWS = 30
const VIRTUAL = '10.0.0.10'
const SCRIPT = fileURLToPath(new URL('../../examples/vms/virtual-address.sh', import.meta.url))
/** Longer than any failover takes; who waits for a host that is cut off waits so long. */
const ANSWER_MS = 15_000

interface World extends HostCluster {
  readonly network: HostNetwork
  readonly load: Load
}

/** The files as they are, but for the folders (of one machine here), and one segment a host. */
export async function threeVms(
  network: HostNetwork,
  { yaml, unit }: { readonly yaml: string; readonly unit: string },
): Promise<void> {
  await t.test('three virtual machines', async (t) => {
    const made = await startOnHosts({
      network,
      yaml: yaml.replace('segments_per_host: 2', 'segments_per_host: 1'),
      agentCommand: (mirabelle, dir) => commandOf(unit, mirabelle, dir),
      restartMs: Number(lineOf(unit, 'RestartSec')) * 1_000,
      tell: (text) => t.comment(text.trimEnd()),
    })
    t.teardown(() => made.close())
    const load = await Load.start(made.cluster, {
      count: 9,
      kinds: ['one', 'one', 'transaction'],
      restMs: 20,
      answerMs: ANSWER_MS,
    })
    const world: World = { ...made, network, load }
    await made.cluster.waitForCatalog('all pairs in sync', inSync, 60_000)

    await t.test('clients of other hosts need their password', (t) => passwords(t, world))
    await t.test(
      'between hosts nothing is readable',
      { skip: !canEavesdrop() && 'there is no python3' },
      (t) => encryption(t, world),
    )
    await t.test('the agent is a service: it comes and goes, its instances stay', (t) =>
      agentService(t, world),
    )
    await t.test('one of two networks dies: nobody fails over', (t) => oneNetwork(t, world))
    await t.test('a host is cut off: mirrors take over; healed, the old primary is fenced', (t) =>
      cutOffSegments(t, world),
    )
    await t.test('the host of the coordinator is cut off: the standby takes over', (t) =>
      cutOffCoordinator(t, world),
    )
    await t.test('a host loses its power and comes back', (t) => powerCut(t, world))

    await t.test('a host is lost for good: another machine takes its place', (t) => replaced(t, world))

    await load.stop()
    const verdict = await load.judge()
    t.comment(describeVerdict(verdict))
    t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is doubled', { found: verdict })
    t.ok(verdict.acked > 500)
  })
}

function lineOf(unit: string, name: string): string {
  const [, value] = new RegExp(`^${name}=(.*)$`, 'm').exec(unit) ?? []
  if (value === undefined) throw new Error(`the unit has no ${name}`)
  return value
}

/** ExecStart of the unit with the paths of this machine. */
function commandOf(unit: string, mirabelle: readonly string[], dir: string): string[] {
  const [, , ...args] = lineOf(unit, 'ExecStart').split(' ')
  return [...mirabelle, ...args.map((arg) => (arg === lineOf(unit, 'WorkingDirectory') ? dir : arg))]
}

async function passwords(t: Test, { cluster, network }: World): Promise<void> {
  const [first] = cluster.addresses
  const client = new pg.Client({ ...first, user: 'postgres', database: 'postgres', password: 'plum' })
  client.on('error', () => undefined) // it is refused, which the attempt itself says
  await t.rejects(client.connect(), { code: '28P01' })
  const rows = await sqlOn(network, 'db1', 5432, 'SELECT count(*)::int AS n FROM gp_segment_configuration')
  t.same(rows, [{ n: 8 }], 'on its own host it lets people in without')
}

async function encryption(t: Test, { cluster, network }: World): Promise<void> {
  const text = 'a sentence that everybody could read'
  const { hostname } = await cluster.primaryOf(2)
  t.equal(hostname, 'db3', 'neither of the coordinators is there')
  await cluster.query('CREATE TABLE secrets (id bigint, note text) DISTRIBUTED BY (id)')
  const [between, toClient] = [
    await eavesdrop(network, 'db3', text),
    await eavesdrop(network, 'client', text),
  ]
  const client = await cluster.connect()
  for (let id = 0, sent = 0; sent < ROWS; id += 1) {
    if (contentOf(id, cluster.contents) !== 2) continue
    await client.query('INSERT INTO secrets VALUES ($1, $2)', [id, `${text}, ${id}`])
    sent += 1
  }
  await client.end()
  const [hosts, clients] = await Promise.all([between.stop(), toClient.stop()])
  t.comment(`db3: ${JSON.stringify(hosts)}; client: ${JSON.stringify(clients)}`)
  t.equal(hosts.found, 0, 'statements and WAL of these rows passed the cables of db3, unreadable')
  t.ok(hosts.frames >= 4 * ROWS, 'they did pass')
  t.ok(clients.found >= ROWS, 'the eavesdropper would have found them: the client asked for no TLS')
}

async function agentService(t: Test, { cluster, services, network, load }: World): Promise<void> {
  const before = await cluster.pids()
  await services.stop('db3')
  const instances = (await network.pidsOf('db3')).length
  t.equal(instances, 2, 'the agent has ended, a primary and a mirror go on')
  await load.acks(30)
  services.start('db3')
  await waitFor('the agent of db3', async () => (await cluster.pids()).size === before.size)
  t.same(await cluster.pids(), before, 'the new agent has adopted them')
}

async function oneNetwork(t: Test, { cluster, network, load }: World): Promise<void> {
  const before = await cluster.catalog()
  for (const number of [0, 1]) {
    await network.cutOff('db3', 'silent', number)
    const cutAt = performance.now()
    await waitFor(
      'some time with acknowledgements everywhere',
      () => performance.now() > cutAt + 15_000,
      60_000,
    )
    for (const content of [0, 1, 2]) await load.acksOn(content, performance.now())
    const { gapMs } = load.ledger.longestGap(2, cutAt)
    t.comment(`network ${number} of db3 is dead: longest pause of content 2 ${Math.round(gapMs)} ms`)
    await network.heal()
    const rolesNow = roles(await cluster.catalog())
    t.same(rolesNow, roles(before), `network ${number} of db3 is dead: roles are as they were`)
    await cluster.heal()
  }
}

const roles = (rows: readonly CatalogRow[]) => rows.map(({ dbid, role }) => `${dbid} ${role}`)

async function cutOffSegments(t: Test, world: World): Promise<void> {
  const { cluster, network, load } = world
  const { dbid } = await cluster.primaryOf(2)
  const log = await LogWatch.of(...cluster.logsOf(dbid))
  await network.cutOff('db3')
  const cutAt = performance.now()
  await cluster.waitForCatalog('a takeover of content 2', (rows) =>
    rows.some((row) => row.dbid === dbid && row.role === 'm' && row.status === 'd'),
  )
  await cluster.waitForCatalog('the mirror of content 1 is marked down', (rows) =>
    rows.some((row) => row.content === 1 && row.role === 'm' && row.status === 'd'),
  )
  const takenAt = performance.now()
  for (const content of [0, 1, 2]) await load.acksOn(content, takenAt)
  t.comment(`first acknowledgement after ${Math.round(load.ledger.longestGap(2, cutAt).gapMs)} ms`)
  const acting = (await cluster.pids()).get(dbid)
  t.equal(acting, undefined, 'the old primary cannot be reached')

  await network.heal()
  await waitFor(
    'the end of the old primary',
    async () => (await log.matching(/"to":"fenced"/)).length > 0,
    60_000,
  )
  const [said] = await log.matching(/"to":"fenced"/)
  t.comment(String((JSON.parse(said as string) as { reason?: string }).reason))
  await backInOrder(t, world)
}

async function cutOffCoordinator(t: Test, world: World): Promise<void> {
  const { cluster, network, load } = world
  const old = (await cluster.catalog()).find(({ content, role }) => content === -1 && role === 'p')
  t.equal(old?.hostname, 'db1')
  // The folder of the cluster as it is kept on another host, too: description and key.
  const copy = await mkdtemp(join(tmpdir(), 'mirabelle-vms-'))
  t.teardown(() => rm(copy, { recursive: true, force: true }))
  for (const name of ['cluster.json', 'cluster.key']) await cp(join(cluster.dir, name), join(copy, name))
  const oldDbid = old?.dbid ?? 0
  await cluster.query(`ALTER SYSTEM SET role_change_command = '${SCRIPT} ${VIRTUAL}/24 eth0'`)
  const carries = async (host: string) =>
    (await network.ip(host, ['-o', 'address'])).includes(` ${VIRTUAL}/24 `)
  const log = await LogWatch.of(...cluster.logsOf(oldDbid))
  await network.cutOff('db1')
  const cutAt = performance.now()
  const { status, out, err } = await runOn(network, 'db2', ['standby', 'activate', '--dir', copy])
  t.equal(status, 0, err)
  t.match(out, /has taken over/)
  t.comment(`${out.trim()}\nthe command took ${Math.round(performance.now() - cutAt)} ms`)
  t.ok(performance.now() - cutAt < 60_000, 'it does not hang')
  const activatedAt = performance.now()
  await waitFor('the virtual address on db2', () => carries('db2'))
  const client = await waitFor('a coordinator there', () => connectToAny([{ host: VIRTUAL, port: 5432 }]))
  await client.end()
  for (const content of [0, 1, 2]) await load.acksOn(content, activatedAt, 20, 90_000)
  const gaps = [0, 1, 2].map((content) => Math.round(load.ledger.longestGap(content, cutAt).gapMs))
  t.comment(`longest pauses of the contents: ${gaps.join(', ')} ms`)

  await network.heal()
  await waitFor('the end of the old coordinator', async () => !(await cluster.pids()).has(oldDbid), 60_000)
  t.ok((await log.matching(/no more can act as coordinator/)).length > 0, 'it says why')
  const refusal = await cluster.cluster.startInstance(oldDbid).then(
    () => 'started',
    (error: Error) => error.message,
  )
  t.match(refusal, /no more can act as coordinator/, 'it refuses to be started')
  t.notOk(await carries('db1'), 'and does not carry the virtual address')
  for (const { outcome, message } of await cluster.cluster.initStandby()) t.equal(outcome, 'done', message)
  await cluster.lookAgain()
  await backInOrder(t, world)
}

async function powerCut(t: Test, world: World): Promise<void> {
  const { cluster, services, network, load } = world
  const primary = await cluster.primaryOf(2)
  t.equal(primary.hostname, 'db3')
  const killed = await services.powerOff('db3')
  t.equal(killed.length, 3, 'an agent, a primary and a mirror')
  await cluster.waitForCatalog('a takeover of content 2', (rows) =>
    rows.some(({ dbid, role }) => dbid === primary.dbid && role === 'm'),
  )
  const takenAt = performance.now()
  for (const content of [0, 1, 2]) await load.acksOn(content, takenAt)
  services.start('db3')
  // What ran when the power went comes back by itself, in the roles of the catalog.
  await waitFor('the instances of db3', async () => (await network.pidsOf('db3')).length === 3, 60_000)
  const back = await cluster.waitForCatalog('both are mirrors in sync', inSync, 90_000)
  t.same(
    back.filter(({ hostname }) => hostname === 'db3').map(({ content, role }) => [content, role]),
    [
      [2, 'm'],
      [1, 'm'],
    ],
  )
  await backInOrder(t, world)
}

/** The new machine has the old one's name, addresses and folder of `agent-config`, and nothing else. */
async function replaced(t: Test, world: World): Promise<void> {
  const { cluster, services } = world
  await services.powerOff('db3')
  const hostDir = join(cluster.dir, 'db3')
  await rm(hostDir, { recursive: true })
  await cluster.waitForCatalog('both of db3 are down', (rows) =>
    rows.every(({ hostname, role, status }) => hostname !== 'db3' || (role === 'm' && status === 'd')),
  )
  await cp(join(cluster.dir, 'agents', 'db3'), hostDir, { recursive: true })
  services.start('db3')
  await waitFor('the agent of db3', () => cluster.ask(agentOf(cluster, 'db3'), { type: 'agent.status' }))
  const report = await runOn(world.network, 'db2', ['recover', '--full', '--dir', cluster.dir])
  t.comment(report.out + report.err)
  t.equal(report.status, 0)
  await backInOrder(t, world)
}

function agentOf(cluster: TestCluster, name: string) {
  const { addresses, agentPort: port } = cluster.facts.hosts.find((host) => host.name === name) ?? {}
  return { addresses: addresses ?? [], port: port ?? 0 }
}

/** `recover`, `rebalance`, and all is as it was planned. */
async function backInOrder(t: Test, { cluster, load }: World): Promise<void> {
  await cluster.heal()
  for (const { outcome, message } of await cluster.cluster.rebalance()) t.equal(outcome, 'done', message)
  const rows = await cluster.waitForCatalog('all pairs in sync', inSync)
  t.same(
    rows.filter(({ content, role, preferred_role }) => content >= 0 && role !== preferred_role),
    [],
    'all are in their preferred roles',
  )
  const now = performance.now()
  for (const content of [0, 1, 2]) await load.acksOn(content, now)
}
