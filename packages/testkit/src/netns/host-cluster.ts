/**
 * A test cluster whose hosts are namespaces, made from a YAML file with the commands that an administrator of real hosts gives: `agent-config`, the folders brought to their hosts, the agents
 * started as services, `init`, `start`, a password. The process that makes it must be in a host of the network itself.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseDocument } from 'yaml'
import { openCluster } from 'mirabelle'
import { TestCluster } from '../cluster/test-cluster.ts'
import { waitFor } from '../cluster/wait-for.ts'
import type { HostNetwork, NetworkHost } from './host-network.ts'
import { HostServices } from './host-services.ts'

const script = join(
  dirname(fileURLToPath(import.meta.resolve('mirabelle/package.json'))),
  'bin',
  'mirabelle.js',
)
const sqlScript = fileURLToPath(new URL('../../dist/netns/run-sql-main.js', import.meta.url))
const DEFAULT_RESTART_MS = 1_000
const DEFAULT_AGENT_PORT = 7000
const AGENT_MS = 60_000
/** For this cluster only, which nobody else can reach. */
const PASSWORD = 'mirabelle'

export interface HostClusterOptions {
  readonly network: HostNetwork
  /** The text of the YAML file; the folders of its hosts are replaced. */
  readonly yaml: string
  /** The command line of the agent's service, in which `mirabelle` and the folder of the host are replaced. Default: `mirabelle agent --dir DIR`. */
  readonly agentCommand?: (mirabelle: readonly string[], dir: string) => readonly string[]
  readonly restartMs?: number
  readonly tell?: (line: string) => void
}

export interface HostCluster {
  readonly cluster: TestCluster
  readonly services: HostServices
  readonly close: () => Promise<void>
}

interface YamlHost extends NetworkHost {
  readonly agent_port?: number
}

/** The hosts that the text of a YAML file names. */
export function hostsOfYaml(yaml: string): NetworkHost[] {
  return readHosts(yaml).map(({ name, addresses }) => ({ name, addresses }))
}

function readHosts(yaml: string): readonly YamlHost[] {
  return (parseDocument(yaml).toJS() as { hosts: readonly YamlHost[] }).hosts
}

/** Makes one and starts it. From then on clients of this process log in with a password (PGPASSWORD is set). */
export async function startOnHosts(options: HostClusterOptions): Promise<HostCluster> {
  const { network, yaml, restartMs = DEFAULT_RESTART_MS, tell = () => undefined } = options
  const hosts = readHosts(yaml)
  const agentCommand = options.agentCommand ?? ((mirabelle, dir) => [...mirabelle, 'agent', '--dir', dir])
  let services: HostServices | undefined
  try {
    const cluster = await TestCluster.make(async (dir) => {
      const file = join(dir, 'cluster.yaml')
      await writeFile(file, withFolders(yaml, dir))
      tell(await mirabelle('agent-config', '-f', file, '--dir', dir))
      services = new HostServices({
        network,
        restartMs,
        unitOf: (host) => {
          const hostDir = join(dir, host)
          return { dir: hostDir, command: agentCommand([process.execPath, script], hostDir) }
        },
      })
      for (const { name } of hosts) {
        await mkdir(join(dir, name), { mode: 0o700 })
        await cp(join(dir, 'agents', name), join(dir, name), { recursive: true })
        services.start(name)
      }
      for (const { name, addresses, agent_port: port = DEFAULT_AGENT_PORT } of hosts)
        await waitFor(`the agent of ${name}`, () => listens(addresses[0] as string, port), AGENT_MS)
      tell(await mirabelle('init', '-f', file, '--dir', dir))
      tell(await mirabelle('start', '--dir', dir))
      const opened = await openCluster(dir)
      const { dbid, port } = opened.coordinator
      const { host } = (await opened.instances()).find((one) => one.dbid === dbid) ?? {}
      await sqlOn(network, host as string, port, `ALTER ROLE postgres PASSWORD '${PASSWORD}'`)
      process.env['PGPASSWORD'] = PASSWORD
      return opened
    })
    const made = services as HostServices
    return {
      cluster,
      services: made,
      close: async () => {
        made.close()
        await cluster.close()
      },
    }
  } catch (error) {
    services?.close()
    throw error
  }
}

/** Runs a statement on a host itself, through loopback; resolves with the rows. */
export async function sqlOn(
  network: HostNetwork,
  host: string,
  port: number,
  sql: string,
): Promise<object[]> {
  const child = network.spawn(host, [process.execPath, sqlScript, String(port), sql], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const { status, out, err } = await outputOf(child)
  if (status !== 0) throw new Error(`${sql} on ${host} ended with status ${status}:\n${err}`)
  return JSON.parse(out) as object[]
}

/** Runs the command; resolves with what it printed. Rejects, with what it said, when its exit status is not 0. */
async function mirabelle(...args: string[]): Promise<string> {
  const { status, out, err } = await outputOf(
    spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }),
  )
  if (status !== 0) throw new Error(`mirabelle ${args.join(' ')} ended with status ${status}:\n${out}${err}`)
  return out + err
}

/** What a command has printed, and its exit status. */
export interface Output {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

/** Runs the `mirabelle` command on a host. */
export function runOn(network: HostNetwork, host: string, args: readonly string[]): Promise<Output> {
  return outputOf(
    network.spawn(host, [process.execPath, script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }),
  )
}

async function outputOf(child: ChildProcess): Promise<Output> {
  let out = ''
  let err = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, out, err }
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1_000 })
    const end = (answer: boolean) => (): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false))
  })
}

function withFolders(yaml: string, dir: string): string {
  const document = parseDocument(yaml)
  for (const [i, { name }] of readHosts(yaml).entries()) document.setIn(['hosts', i, 'dir'], join(dir, name))
  return document.toString()
}
