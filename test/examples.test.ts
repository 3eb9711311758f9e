// The examples do what their pages say, on real clusters, and leave nothing behind: not when they end, not after Ctrl-C.
import t from 'tap'
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processesBelow, waitFor } from '@mirabelle/testkit/cluster'

const LIMIT_MS = 240_000
t.setTimeout(4 * LIMIT_MS)

const root = fileURLToPath(new URL('..', import.meta.url))

interface Outcome {
  readonly status: number | null
  readonly output: string
}

/** Runs an example in a temporary folder of its own, with Ctrl-C after the line that `interruptAfter` matches. */
async function run(
  test: Pick<typeof t, 'same' | 'teardown'>,
  args: readonly string[],
  interruptAfter?: RegExp,
): Promise<Outcome> {
  const temp = await mkdtemp(join(await realpath(tmpdir()), 'mirabelle-examples-'))
  test.teardown(() => rm(temp, { recursive: true, force: true }))
  const child = spawn(process.execPath, ['--import', 'tsx', ...args], {
    cwd: root,
    env: { ...process.env, TMPDIR: temp },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const limit = setTimeout(() => child.kill('SIGINT'), LIMIT_MS)
  let output = ''
  let isInterrupted = false
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (interruptAfter === undefined || isInterrupted || !interruptAfter.test(output)) return
      isInterrupted = true
      child.kill('SIGINT')
    })
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code))
  })
  clearTimeout(limit)
  await waitFor(`the end of what ${args[0]} started`, () => processesBelow(temp).length === 0, 10_000)
  const left = (await readdir(temp)).filter((name) => name.startsWith('mirabelle'))
  test.same(left, [], 'its folders are deleted')
  return { status, output }
}

t.test('the application gets through the loss of a primary and of the coordinator', async (test) => {
  const { status, output } = await run(test, [
    'examples/failover-app/app.ts',
    '--seconds',
    '1',
    '--clients',
    '4',
  ])
  test.equal(status, 0, output)
  test.match(output, /kill -9 of the primary of content 0/)
  test.match(output, /the standby coordinator took over in \d+ ms, epoch \d+/)
  test.match(output, /lost 0, doubled 0, torn 0/)
  test.match(output, /OK: every acknowledged order is there exactly once/)
})

t.test('Ctrl-C ends the application and deletes its cluster', async (test) => {
  const { status, output } = await run(test, ['examples/failover-app/app.ts'], /clients place orders/)
  test.equal(status, 130, output)
  test.notMatch(output, /OK/)
})

t.test('a walk through failures loses nothing', async (test) => {
  const { status, output } = await run(test, ['examples/chaos-walk/walk.ts', '--seed', '2', '--steps', '2'])
  test.equal(status, 0, output)
  test.match(output, /2\. .*kill -9 of both instances/, 'the steps are those of the seed')
  test.match(output, /lost 0, doubled 0, unexpected 0, torn 0/)
})

t.test('the cluster of the YAML file is made, used, stopped and destroyed', async (test) => {
  const { status, output } = await run(test, ['examples/yaml-cluster/run.ts'])
  test.equal(status, 0, output)
  test.match(output, /1000 rows inserted through 127\.0\.0\.1:\d+, 1000 found/)
  test.equal(output.match(/Primary Active, Mirror Available +Synchronized/g)?.length, 2)
  test.match(output, /Deleted the cluster in/)
})

t.test('the files for three virtual machines belong together', async (test) => {
  const temp = await mkdtemp(join(tmpdir(), 'mirabelle-vms-'))
  test.teardown(() => rm(temp, { recursive: true, force: true }))
  const command = join(root, 'packages/cli/bin/mirabelle.js')
  const file = join(root, 'examples/vms/cluster.yaml')
  const child = spawn(process.execPath, [command, 'agent-config', '-f', file, '--dir', temp], {
    stdio: 'ignore',
  })
  test.equal(await new Promise((resolve) => child.once('close', resolve)), 0)
  const { rows, hosts } = JSON.parse(await readFile(join(temp, 'cluster.json'), 'utf8')) as {
    rows: { content: number; hostname: string; port: number; endpoint: { port: number } }[]
    hosts: { addresses: string[]; agentPort: number; dir: string }[]
  }
  test.equal(rows.length, 2 * 6 + 2)
  const places = new Set(rows.map(({ content, hostname }) => `${content} on ${hostname}`))
  test.equal(places.size, rows.length, 'no host carries a content twice')
  const firewall = await readFile(join(root, 'examples/vms/nftables.conf'), 'utf8')
  const elements = /set hosts \{[^}]*elements = \{([^}]*)\}/.exec(firewall)?.[1] ?? ''
  test.same(
    elements
      .split(',')
      .map((address) => address.trim())
      .sort(),
    hosts.flatMap(({ addresses }) => addresses).sort(),
    'the firewall knows the addresses of all hosts',
  )
  test.match(firewall, 'tcp dport != { 5432, 7000-7099 } accept')
  const cluster = [...rows.map(({ endpoint }) => endpoint.port), ...hosts.map(({ agentPort }) => agentPort)]
  test.ok(
    cluster.every((port) => port >= 7000 && port <= 7099),
    'and their ports',
  )
  test.ok(rows.every(({ content, port }) => content >= 0 || port === 5432))
  const unit = await readFile(join(root, 'examples/vms/mirabelle-agent.service'), 'utf8')
  for (const { dir } of hosts)
    for (const line of [`agent --dir ${dir}`, `ReadWritePaths=${dir}`, `WorkingDirectory=${dir}`])
      test.match(unit, line)
})
