/**
 * A cluster from a YAML file, from its first command to its last: agents, init, start, a table, state, stop, destroy. Usage:
 *
 *     npx tsx examples/yaml-cluster/run.ts
 *
 * It takes `cluster.yaml` with other folders and ports, so it disturbs nothing; by hand you give the file as it is (see README.md).
 */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import pg from 'pg'
import { runExample } from '../lib/run-example.ts'
import { Interrupted } from '../lib/with-cluster.ts'
import { endAgent, mirabelle, startAgent } from './command.ts'
import { describeRun, listens, type Described } from './describe.ts'

await runExample(async () => {
  const base = await mkdtemp(join(tmpdir(), 'mirabelle-yaml-'))
  const agents: ChildProcess[] = []
  const dir = join(base, 'cluster')
  const interrupted = new AbortController()
  const interrupt = (): void => interrupted.abort()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
  try {
    const described = await describeRun(new URL('cluster.yaml', import.meta.url), base)
    const file = join(base, 'cluster.yaml')
    await writeFile(file, described.text)
    for (const step of stepsOf(file, dir, described, agents)) {
      await step()
      if (interrupted.signal.aborted) throw new Interrupted('interrupted; the cluster is being deleted')
    }
    return true
  } catch (error) {
    // Ctrl-C ends the command that runs, too, and that is no failure of its own.
    throw interrupted.signal.aborted ? new Interrupted('interrupted; the cluster is being deleted') : error
  } finally {
    if (existsSync(join(dir, 'cluster.json')) && agents.length > 0)
      await mirabelle('destroy', '--yes', '--dir', dir)
    await Promise.all(agents.map(endAgent))
    await rm(base, { recursive: true, force: true })
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, interrupt)
  }
})

function stepsOf(file: string, dir: string, described: Described, agents: ChildProcess[]) {
  const at = ['--dir', dir]
  return [
    // 1. Plan the cluster and write what each host needs: the agent's configuration and the key of the cluster.
    () => mirabelle('agent-config', '-f', file, ...at),
    // 2. Bring each folder to its host (here with cp, else with scp) and start the agents (else: a service of the system).
    async () => {
      for (const host of described.hosts) {
        await mkdir(host.dir, { recursive: true, mode: 0o700 })
        await cp(join(dir, 'agents', host.name), host.dir, { recursive: true })
        agents.push(startAgent(host.dir))
      }
      await Promise.all(described.hosts.map(({ address, agentPort }) => listens(address, agentPort)))
    },
    // 3. Make the instances, start them, use them.
    () => mirabelle('init', '-f', file, ...at),
    () => mirabelle('start', ...at),
    () => useIt(described.coordinator),
    () => mirabelle('state', '--pairs', ...at),
    () => mirabelle('stop', ...at),
  ]
}

async function useIt({ host, port }: Described['coordinator']): Promise<void> {
  const client = new pg.Client({ host, port, user: 'postgres', database: 'postgres' })
  await client.connect()
  try {
    await client.query('CREATE TABLE plums (id int PRIMARY KEY, sort text) DISTRIBUTED BY (id)')
    await client.query("INSERT INTO plums SELECT i, 'mirabelle' FROM generate_series(1, 1000) AS i")
    const { rows } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM plums')
    process.stdout.write(`\n1000 rows inserted through ${host}:${port}, ${rows[0]?.n} found\n`)
    if (rows[0]?.n !== 1000) throw new Error(`${rows[0]?.n} rows instead of 1000`)
    const { rows: apart } = await client.query<{ dbid: number }>(
      "SELECT dbid FROM gp_segment_configuration WHERE content >= 0 AND (mode <> 's' OR status <> 'u')",
    )
    if (apart.length > 0) throw new Error(`not in sync: dbid ${apart.map(({ dbid }) => dbid).join(', ')}`)
  } finally {
    await client.end()
  }
}
