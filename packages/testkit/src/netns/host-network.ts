/**
 * Hosts that are network namespaces of this machine, each with its own addresses, wired to one switch a network (a bridge in a namespace of its own): nothing of the machine's own
 * network is touched or can be reached. Made by a test or a chaos run, closed by it; a reaper does that when its maker can no more.
 *
 * Cuts need nothing but `ip`: the hosts know each other's hardware addresses by heart, and a host that has a wrong one of another sends into the void, without an error, in one direction.
 */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ip, ipBatch } from './ip.ts'
import { newPrefix, pidsIn, removeLeftovers, removeNamespaces } from './namespaces.ts'

/** The compiled entry, also when this module runs from source. */
const reaperScript = fileURLToPath(new URL('../../dist/netns/network-reaper-main.js', import.meta.url))
const SWITCH = 'switch'

export interface NetworkHost {
  readonly name: string
  /** IPv4, one for each network; the n-th addresses of all hosts are neighbours, in networks of 24 bits. */
  readonly addresses: readonly string[]
}

/** What another process needs to use the network. */
export interface NetworkDescription {
  readonly prefix: string
  readonly hosts: readonly NetworkHost[]
}

/** `silent`: what is sent disappears, as behind a switch that has died; `down`: the interfaces of the host are down, and it gets errors at once. */
export type CutKind = 'silent' | 'down'

export class HostNetwork {
  readonly description: NetworkDescription
  #reaper: Reaper | undefined

  private constructor(description: NetworkDescription, reaper: Reaper | undefined) {
    this.description = description
    this.#reaper = reaper
  }

  /** Makes one. Rejects with IpError; what was begun is taken back then. */
  static async make(hosts: readonly NetworkHost[]): Promise<HostNetwork> {
    await removeLeftovers()
    const description = { prefix: newPrefix(), hosts }
    const reaper = startReaper(description.prefix)
    const network = new HostNetwork(description, reaper)
    try {
      await network.#wire()
      return network
    } catch (error) {
      await network.close()
      throw error
    }
  }

  /** One that another process has made and will close. */
  static of(description: NetworkDescription): HostNetwork {
    return new HostNetwork(description, undefined)
  }

  get hosts(): readonly NetworkHost[] {
    return this.description.hosts
  }

  namespaceOf(host: string): string {
    if (host !== SWITCH) this.#place(host)
    return this.description.prefix + host
  }

  /** The program and the arguments that run a command in a host. The process that is so started is the command's own. */
  command(host: string, argv: readonly string[]): [string, string[]] {
    return ['ip', ['netns', 'exec', this.namespaceOf(host), ...argv]]
  }

  /** Starts a process in a host. */
  spawn(host: string, argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const [file, args] = this.command(host, argv)
    return spawn(file, args, options)
  }

  /** Runs `ip` on a host; resolves with what it prints. Rejects with IpError. */
  ip(host: string, args: readonly string[]): Promise<string> {
    return ip(['-n', this.namespaceOf(host), ...args])
  }

  /** Pids of all processes of a host. */
  pidsOf(host: string): Promise<number[]> {
    return pidsIn(this.namespaceOf(host))
  }

  /** From now on nothing reaches the host or leaves it, on all of its networks or on one (the n-th). */
  async cutOff(host: string, kind: CutKind = 'silent', network?: number): Promise<void> {
    const place = this.#place(host)
    const { addresses } = this.hosts[place] as NetworkHost
    const numbers = addresses.map((_, n) => n).filter((n) => network === undefined || n === network)
    if (kind === 'down')
      await ipBatch(
        this.namespaceOf(host),
        numbers.map((n) => `link set eth${n} down`),
      )
    else
      await ipBatch(
        this.namespaceOf(SWITCH),
        numbers.map((n) => `link set ${portOf(place, n)} nomaster`),
      )
  }

  /** From now on nothing that `from` sends reaches `to`; the other direction stays. */
  async cutOneWay(from: string, to: string): Promise<void> {
    const lines = this.#neighbour(this.#place(to), nobody)
    await ipBatch(this.namespaceOf(from), lines)
  }

  /** From now on nothing passes between two hosts; others reach both. */
  async cut(one: string, other: string): Promise<void> {
    await Promise.all([this.cutOneWay(one, other), this.cutOneWay(other, one)])
  }

  /** Everybody reaches everybody again. */
  async heal(): Promise<void> {
    const ports = this.hosts.flatMap(({ addresses }, place) =>
      addresses.map((_, n) => `link set ${portOf(place, n)} up master br${n}`),
    )
    await ipBatch(this.namespaceOf(SWITCH), ports)
    await Promise.all(
      this.hosts.map(({ name, addresses }, place) =>
        ipBatch(this.namespaceOf(name), [
          ...addresses.map((_, n) => `link set eth${n} up`),
          // Interfaces that were down have forgotten them.
          ...this.#neighboursOf(place),
        ]),
      ),
    )
  }

  /** Ends everything that runs in the hosts, and deletes them. */
  async close(): Promise<void> {
    await this.#reaper?.cleanUp()
    this.#reaper = undefined
  }

  #place(host: string): number {
    const place = this.hosts.findIndex(({ name }) => name === host)
    if (place < 0) throw new Error(`there is no host ${host}`)
    return place
  }

  async #wire(): Promise<void> {
    const names = [SWITCH, ...this.hosts.map(({ name }) => name)]
    for (const name of names) await ip(['netns', 'add', this.description.prefix + name])
    const networks = Math.max(...this.hosts.map(({ addresses }) => addresses.length))
    const bridges = Array.from({ length: networks }, (_, n) => [
      `link add br${n} type bridge mcast_snooping 0`,
      `link set br${n} up`,
    ])
    const cables = this.hosts.flatMap(({ name, addresses }, place) =>
      addresses.map(
        (_, n) => `link add ${portOf(place, n)} type veth peer name eth${n} netns ${this.namespaceOf(name)}`,
      ),
    )
    await ipBatch(this.namespaceOf(SWITCH), [...bridges.flat(), ...cables])
    await Promise.all(
      this.hosts.map(({ name, addresses }, place) =>
        ipBatch(this.namespaceOf(name), [
          'link set lo up',
          ...addresses.flatMap((address, n) => [
            `link set eth${n} address ${hardwareOf(place, n)}`,
            `addr add ${address}/24 dev eth${n}`,
          ]),
        ]),
      ),
    )
    await this.heal()
  }

  #neighboursOf(place: number): string[] {
    return this.hosts.flatMap((_, other) => (other === place ? [] : this.#neighbour(other, hardwareOf)))
  }

  /** What a host is told about another one. */
  #neighbour(place: number, hardware: (place: number, network: number) => string): string[] {
    const { addresses } = this.hosts[place] as NetworkHost
    return addresses.map(
      (to, n) => `neigh replace ${to} lladdr ${hardware(place, n)} nud permanent dev eth${n}`,
    )
  }
}

let refusal: Promise<string | undefined> | undefined

/** Why such networks cannot be made here, in one sentence; undefined when they can. Found out by making one. */
export function whyNoNamespaces(): Promise<string | undefined> {
  refusal ??= findOut()
  return refusal
}

async function findOut(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `there are no network namespaces on ${process.platform}`
  if (process.getuid?.() !== 0) return 'only root may make network namespaces'
  try {
    const network = await HostNetwork.make([
      { name: 'one', addresses: ['10.0.0.1'] },
      { name: 'two', addresses: ['10.0.0.2'] },
    ])
    await network.close()
    return undefined
  } catch (error) {
    return `network namespaces cannot be made here: ${(error as Error).message}`
  }
}

/** 02: made up here, nobody's real one. */
function hardwareOf(place: number, network: number): string {
  return `02:00:00:00:${hex(network)}:${hex(place)}`
}
function nobody(_place: number, network: number): string {
  return `02:00:00:00:${hex(network)}:ff`
}
function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}
function portOf(place: number, network: number): string {
  return `p${place}n${network}`
}

interface Reaper {
  readonly cleanUp: () => Promise<void>
}

function startReaper(prefix: string): Reaper {
  // In a session of its own: Ctrl-C in the terminal does not reach it.
  const child = spawn(process.execPath, [reaperScript, prefix], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  ended.catch(() => undefined) // told to the one who asks for the clean up
  child.unref()
  return {
    cleanUp: async () => {
      child.ref()
      child.stdin.end()
      const code = await ended
      if (code !== 0) throw new Error(`the clean up of the network ended with status ${code}`)
      await removeNamespaces(prefix) // a reaper that was killed itself has left it
    },
  }
}
