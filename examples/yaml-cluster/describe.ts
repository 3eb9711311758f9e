/** `cluster.yaml` with folders and ports of its own for one run, so that two runs never meet. */
import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { parseDocument } from 'yaml'

export interface DescribedHost {
  readonly name: string
  readonly address: string
  readonly agentPort: number
  readonly dir: string
}

export interface Described {
  readonly text: string
  readonly coordinator: { readonly host: string; readonly port: number }
  readonly hosts: readonly DescribedHost[]
}

interface YamlHost {
  name: string
  addresses: string[]
  dir: string
  agent_port?: number
  base_port?: number
}

/** Instances of a host have consecutive ports; so many are more than one of this cluster needs. */
const PORTS_A_HOST = 10

export async function describeRun(yaml: URL, base: string): Promise<Described> {
  const document = parseDocument(await readFile(yaml, 'utf8'))
  const hosts = (document.toJS() as { hosts: YamlHost[] }).hosts
  const described: DescribedHost[] = []
  for (const [i, { name, addresses }] of hosts.entries()) {
    const address = addresses[0] as string
    const dir = join(base, name)
    const port = await freeRange(address, PORTS_A_HOST)
    document.setIn(['hosts', i, 'dir'], dir)
    document.setIn(['hosts', i, 'agent_port'], port)
    document.setIn(['hosts', i, 'base_port'], port + 1)
    described.push({ name, address, agentPort: port, dir })
  }
  const [first, second] = described as [DescribedHost, DescribedHost]
  const port = await freeRange(first.address, 1)
  document.setIn(['cluster', 'port'], port)
  document.setIn(['cluster', 'standby_port'], await freeRange(second.address, 1))
  return { text: document.toString(), coordinator: { host: first.address, port }, hosts: described }
}

/** The first port of so many that nobody listens on. */
async function freeRange(address: string, count: number): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    // Below the range from which the system takes ports of outgoing connections.
    const first = 10_000 + Math.floor(Math.random() * 20_000)
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(address, first + i)))
    if (free.every(Boolean)) return first
  }
  throw new Error(`no ${count} ports in a row are free on ${address}`)
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** Resolves when somebody listens there; rejects when that takes too long. */
export async function listens(host: string, port: number): Promise<void> {
  for (const giveUpAt = performance.now() + 60_000; !(await accepts(host, port));) {
    if (performance.now() > giveUpAt) throw new Error(`nobody listens on ${host}:${port} after 60 s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
