/**
 * The network of the simulation: hosts, the links between them, listeners and connections.
 *
 * Made once a world. Messages of a connection arrive whole and in order after a delay; a link that is cut keeps what is sent over it until it is
 * mended (TCP sends again), so a cut is noticed only by silence or by timeouts, as in reality. Each direction of a link is cut by itself.
 */
import { MirabelleError, type Endpoint, type Message } from '@mirabelle/messages'
import type { Connection, ConnectOptions, Hello, Listener, Network, Party } from '@mirabelle/runtime'
import { ACCEPTER_PATIENCE } from '@mirabelle/runtime'
import { SimConnection } from './sim-connection.ts'
import type { SimHost } from './sim-host.ts'
import type { SimProcess } from './sim-process.ts'
import type { SimWorld } from './sim-world.ts'

/** One-way delay of a message between hosts, and within one, ms. */
const LINK_MS = [0.08, 0.3] as const
const LOOPBACK_MS = [0.02, 0.06] as const
const FIRST_EPHEMERAL_PORT = 40_000

interface Listening {
  readonly process: SimProcess
  readonly self: () => Party
  readonly accept: (connection: Connection, hello: Hello) => void
}

/** One direction between two hosts. */
interface Link {
  cut: boolean
  extraMs: number
  /** Nothing that is sent now arrives before what was held. */
  notBeforeMs: number
  /** Sent while it was cut. */
  readonly held: { to: SimProcess | undefined; run: () => void }[]
}

export class SimFabric {
  readonly world: SimWorld
  readonly connections = new Set<SimConnection>()
  /** Sees every message when it is sent. */
  tap: ((from: SimConnection, message: Message) => void) | undefined
  /** Sees each request that arrives; what it returns sees the answer. */
  asked: ((at: SimConnection, message: Message) => ((reply: Message) => void) | undefined) | undefined
  /** A handler threw something that is no MirabelleError. */
  onUnexpected: ((process: SimProcess, error: unknown) => void) | undefined
  readonly #hosts = new Map<string, SimHost>()
  readonly #listening = new Map<string, Listening>()
  readonly #links = new Map<SimHost, Map<SimHost, Link>>()
  #port = FIRST_EPHEMERAL_PORT
  #pid = 100

  constructor(world: SimWorld) {
    this.world = world
  }

  addHost(host: SimHost): void {
    this.#hosts.set(host.name, host)
  }

  nextPid(): number {
    return ++this.#pid
  }

  link(from: SimHost, to: SimHost): Link {
    let links = this.#links.get(from)
    if (links === undefined) {
      links = new Map()
      this.#links.set(from, links)
    }
    let link = links.get(to)
    if (link === undefined) {
      link = { cut: false, extraMs: 0, notBeforeMs: 0, held: [] }
      links.set(to, link)
    }
    return link
  }

  /** Nothing goes from `from` to `to` any more. */
  cut(from: SimHost, to: SimHost): void {
    this.link(from, to).cut = true
    this.world.trace.add('network', `${from.name} → ${to.name} is cut`)
    this.refresh()
  }

  /** What was sent meanwhile arrives now, in order. */
  mend(from: SimHost, to: SimHost): void {
    const link = this.link(from, to)
    if (!link.cut) return
    link.cut = false
    this.world.trace.add('network', `${from.name} → ${to.name} is mended`)
    const delayMs = this.#delay(from, to)
    link.notBeforeMs = this.world.nowMs + delayMs
    for (const { to: owner, run } of link.held.splice(0)) this.world.schedule(delayMs, owner, run)
    this.refresh()
  }

  /** All connections between the two hosts end at once; new ones can be made. */
  reset(a: SimHost, b: SimHost): void {
    this.world.trace.add('network', `connections between ${a.name} and ${b.name} are reset`)
    for (const connection of [...this.connections]) {
      const here = connection.process.host
      const there = connection.other?.process.host
      if ((here === a && there === b) || (here === b && there === a)) connection.reset()
    }
  }

  delayLink(from: SimHost, to: SimHost, extraMs: number): void {
    this.link(from, to).extraMs = extraMs
  }

  /** True when bytes of `from` reach `to` now. */
  reaches(from: SimHost, to: SimHost): boolean {
    return from.up && to.up && !(from !== to && this.link(from, to).cut)
  }

  /** Sends something that `owner` on `to` does when it arrives. Returns the time of arrival; undefined when the link holds it. */
  transmit(
    from: SimHost,
    to: SimHost,
    owner: SimProcess | undefined,
    run: () => void,
    notBeforeMs = 0,
  ): number | undefined {
    const { world } = this
    if (from !== to) {
      const link = this.link(from, to)
      if (link.cut) {
        link.held.push({ to: owner, run })
        return undefined
      }
      notBeforeMs = Math.max(notBeforeMs, link.notBeforeMs)
    }
    const atMs = Math.max(world.nowMs + this.#delay(from, to), notBeforeMs)
    world.schedule(atMs - world.nowMs, owner, run)
    return atMs
  }

  #delay(from: SimHost, to: SimHost): number {
    const { random } = this.world
    if (from === to) return random.between(...LOOPBACK_MS)
    const { extraMs } = this.link(from, to)
    return random.between(...LINK_MS) + (extraMs > 0 ? random.between(0, extraMs) : 0)
  }

  /** Something changed about who hears whom: connections look whether they are in silence. */
  refresh(): void {
    for (const connection of this.connections) connection.refreshSilence()
  }

  /** The kernel of the host closes what the process had open; with the whole host gone nobody is told. */
  processEnded(process: SimProcess, silently: boolean): void {
    for (const [key, one] of [...this.#listening]) if (one.process === process) this.#listening.delete(key)
    for (const connection of [...this.connections])
      if (connection.process === process) connection.ownerGone(silently)
  }

  /** A host has power again: whoever still has a connection to one of its dead processes is told by its kernel, at the next heartbeat. */
  hostBack(host: SimHost): void {
    for (const connection of [...this.connections]) connection.hostBack(host)
    this.refresh()
  }

  listen(process: SimProcess, endpoint: Endpoint, listening: Omit<Listening, 'process'>): Listener {
    const port = endpoint.port === 0 ? ++this.#port : endpoint.port
    const keys = endpoint.addresses.map((address) => `${address}:${port}`)
    for (const key of keys) {
      if (this.#listening.has(key))
        throw new MirabelleError(
          'listen.failed',
          `${key} is in use by ${this.#listening.get(key)?.process.name}`,
        )
    }
    for (const key of keys) this.#listening.set(key, { ...listening, process })
    return {
      port,
      close: () => {
        for (const key of keys) if (this.#listening.get(key)?.process === process) this.#listening.delete(key)
        return Promise.resolve()
      },
    }
  }

  async connect(
    process: SimProcess,
    endpoint: Endpoint,
    hello: Hello,
    options: ConnectOptions,
  ): Promise<Connection> {
    let last: unknown
    const { addresses } = endpoint
    for (const address of addresses) {
      try {
        return await this.#dial(process, address, endpoint.port, hello, {
          ...options,
          timeoutMs: options.timeoutMs / addresses.length,
        })
      } catch (error) {
        last = error
      }
    }
    throw last
  }

  #dial(
    process: SimProcess,
    address: string,
    port: number,
    hello: Hello,
    options: ConnectOptions,
  ): Promise<Connection> {
    const target = this.#hosts.get(address)
    return new Promise((resolve, reject) => {
      let over = false
      const settle = (fn: () => void): void => {
        if (over) return
        over = true
        timer.cancelled = true
        fn()
      }
      const timer = process.schedule(options.timeoutMs, () => {
        settle(() =>
          reject(
            new MirabelleError(
              'timeout',
              `no connection to ${address}:${port} within ${options.timeoutMs} ms`,
            ),
          ),
        )
      })
      // A machine that does not exist, or has no power, answers nothing.
      if (target === undefined) return
      const answer = (run: () => void): void => {
        this.transmit(target, process.host, process, run)
      }
      const refuse = (error: unknown): void => answer(() => settle(() => reject(error as Error)))
      this.transmit(process.host, target, undefined, () => {
        if (!target.up) return
        const listening = this.#listening.get(`${address}:${port}`)
        if (listening === undefined) {
          refuse(new MirabelleError('connection.refused', `nobody listens on ${address}:${port}`))
          return
        }
        // The kernel has taken the connection; the program's part of the handshake waits while it is paused.
        listening.process.schedule(0, () => {
          this.#accept(listening, process, { address, port }, hello, options, refuse, (connection) => {
            const back = (): void => {
              if (over) connection.ownerGone(false)
              settle(() => resolve(connection))
            }
            connection.arrivesAtMs = this.transmit(target, process.host, process, back) ?? 0
          })
        })
      })
    })
  }

  #accept(
    listening: Listening,
    process: SimProcess,
    at: { readonly address: string; readonly port: number },
    hello: Hello,
    options: ConnectOptions,
    refuse: (error: unknown) => void,
    welcome: (connection: SimConnection) => void,
  ): void {
    const self = listening.self()
    if (hello.clusterId !== self.clusterId) {
      refuse(
        new MirabelleError('cluster.foreign', `this is cluster ${self.clusterId}, not ${hello.clusterId}`),
      )
      return
    }
    const silenceMs = options.silenceTimeoutMs
    const copy = { ...hello }
    const ours = new SimConnection(this, listening.process, copy, {
      address: process.host.name,
      port: 0,
      silenceMs,
    })
    const theirs = new SimConnection(
      this,
      process,
      { ...self },
      { ...at, silenceMs: silenceMs * ACCEPTER_PATIENCE },
    )
    ours.join(theirs)
    try {
      listening.accept(ours, copy)
    } catch (error) {
      ours.abandon()
      theirs.abandon()
      refuse(
        error instanceof MirabelleError
          ? new MirabelleError(
              error.code,
              error.message,
              error.detail === null ? {} : { detail: error.detail },
            )
          : new MirabelleError('internal', String(error)),
      )
      return
    }
    welcome(theirs)
    ours.welcomed(theirs.arrivesAtMs)
  }
}

/** The network port of one process. */
export class SimNetwork implements Network {
  readonly #fabric: SimFabric
  readonly #process: SimProcess

  constructor(fabric: SimFabric, process: SimProcess) {
    this.#fabric = fabric
    this.#process = process
  }

  listen(
    endpoint: Endpoint,
    self: () => Party,
    accept: (connection: Connection, hello: Hello) => void,
  ): Promise<Listener> {
    return new Promise((resolve, reject) => {
      this.#process.schedule(0, () => {
        try {
          resolve(this.#fabric.listen(this.#process, endpoint, { self, accept }))
        } catch (error) {
          reject(error as Error)
        }
      })
    })
  }

  connect(endpoint: Endpoint, hello: Hello, options: ConnectOptions): Promise<Connection> {
    if (!this.#process.alive) return new Promise(() => undefined)
    return this.#fabric.connect(this.#process, endpoint, hello, options)
  }
}
