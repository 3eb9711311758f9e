/** How FTS and the cluster manager reach instances and agents: one control link per instance and per host. */
import {
  MirabelleError,
  type Dbid,
  type Epoch,
  type MessageOf,
  type ReplyOf,
  type RequestType,
  type SegmentRow,
} from '@mirabelle/messages'
import type { FtsReply, FtsTransport } from '@mirabelle/fts'
import type { Hello, Ports } from '@mirabelle/runtime'
import { PeerLink } from './peer-links.ts'
import type { Topology } from './topology.ts'

const FENCE_TIMEOUT_MS = 1_000
const AGENT_SILENCE_MS = 5_000
const AGENT_CONNECT_MS = 1_000

export interface SegmentLinksOptions {
  readonly ports: Ports
  readonly topology: Topology
  readonly hello: () => Hello
  readonly onDeath: (certificate: MessageOf<'agent.exited'>) => void
  readonly onInstanceLost: (dbid: Dbid, reason: MirabelleError) => void
  /** A connection to the instance stands (again). */
  readonly onInstanceUp?: (dbid: Dbid) => void
  /** The agent of a host answers (again): instances there may act on an older role than the catalog gives them. */
  readonly onAgentUp?: (hostname: string) => void
}

export class SegmentLinks implements FtsTransport {
  readonly #options: SegmentLinksOptions
  readonly #instances = new Map<string, PeerLink>()
  readonly #agents = new Map<string, PeerLink>()
  readonly #watched = new Set<Dbid>()
  /** Those of them that are being connected to, or will be in a moment. */
  readonly #connecting = new Set<Dbid>()
  #closed = false

  constructor(options: SegmentLinksOptions) {
    this.#options = options
  }

  get #epoch(): Epoch {
    return this.#options.topology.epoch
  }

  /** The link to an instance. */
  instance(row: SegmentRow): PeerLink {
    const key = `${row.dbid}@${row.endpoint.addresses.join(',')}:${row.endpoint.port}`
    let link = this.#instances.get(key)
    if (link === undefined) {
      const { ports, hello, topology } = this.#options
      link = new PeerLink({
        ports,
        name: `dbid ${row.dbid}`,
        endpoint: row.endpoint,
        hello,
        // Silence only makes FTS ask, so it may be short: a hung primary is to be taken over within 5 s.
        silenceTimeoutMs: () => Math.max(500, Math.min(1_200, topology.settings.gp_fts_probe_timeout * 1.2)),
        onConnected: () => this.#options.onInstanceUp?.(row.dbid),
        onLost: (reason) => {
          this.#options.onInstanceLost(row.dbid, reason)
          this.#lookLater(row.dbid)
        },
      })
      this.#instances.set(key, link)
    }
    return link
  }

  /** The link to the agent of a host. */
  agent(hostname: string): PeerLink {
    let link = this.#agents.get(hostname)
    if (link === undefined) {
      const host = this.#options.topology.host(hostname)
      if (host === undefined) throw new MirabelleError('internal', `host ${hostname} is not in the catalog`)
      link = new PeerLink({
        ports: this.#options.ports,
        name: `agent of ${hostname}`,
        endpoint: host.agent,
        hello: this.#options.hello,
        silenceTimeoutMs: () => AGENT_SILENCE_MS,
        onMessage: (message) => {
          if (message.type === 'agent.exited') this.#options.onDeath(message)
        },
        onLost: () => {
          this.#keepAgent(hostname)
        },
      })
      this.#agents.set(hostname, link)
    }
    return link
  }

  /** Keeps a control connection to an instance where the catalog says it is, so that its loss or silence is noticed between probes. */
  watch(row: SegmentRow): void {
    this.#watched.add(row.dbid)
    this.#look(row.dbid)
  }

  #look(dbid: Dbid): void {
    const current = this.#options.topology.row(dbid)
    if (this.#closed || current === undefined) {
      this.#watched.delete(dbid)
      return
    }
    const link = this.instance(current)
    if (link.connected || this.#connecting.has(dbid)) return
    this.#connecting.add(dbid)
    const over = (): void => {
      this.#connecting.delete(dbid)
      if (!link.connected) this.#lookLater(dbid)
    }
    link.connect(AGENT_CONNECT_MS).then(over, over)
  }

  #lookLater(dbid: Dbid): void {
    if (this.#closed || !this.#watched.has(dbid) || this.#connecting.has(dbid)) return
    this.#connecting.add(dbid)
    this.#options.ports.clock.setTimer(AGENT_CONNECT_MS, () => {
      this.#connecting.delete(dbid)
      this.#look(dbid)
    })
  }

  /** Keeps a connection to every agent, so that death certificates arrive by themselves. */
  watchAgents(): void {
    for (const host of this.#options.topology.hosts) this.#keepAgent(host.hostname)
  }

  #keepAgent(hostname: string): void {
    if (this.#closed) return
    this.agent(hostname)
      .connect(AGENT_CONNECT_MS)
      .then(
        () => this.#options.onAgentUp?.(hostname),
        () => {
          this.#options.ports.clock.setTimer(AGENT_CONNECT_MS, () => this.#keepAgent(hostname))
        },
      )
  }

  probe(row: SegmentRow, timeoutMs: number): Promise<FtsReply> {
    return this.#ask(
      row,
      {
        type: 'fts.probe',
        dbid: row.dbid,
        content: row.content,
        epoch: this.#epoch,
        mirror: this.#options.topology.mirror(row.content)?.dbid ?? null,
      },
      timeoutMs,
    )
  }
  promote(row: SegmentRow, timeoutMs: number): Promise<FtsReply> {
    return this.#ask(
      row,
      { type: 'segment.promote', dbid: row.dbid, content: row.content, epoch: this.#epoch },
      timeoutMs,
    )
  }
  syncRepOff(row: SegmentRow, timeoutMs: number): Promise<FtsReply> {
    return this.#ask(
      row,
      { type: 'segment.syncRepOff', dbid: row.dbid, content: row.content, epoch: this.#epoch },
      timeoutMs,
    )
  }

  async #ask<K extends RequestType>(
    row: SegmentRow,
    message: MessageOf<K>,
    timeoutMs: number,
  ): Promise<ReplyOf<K>> {
    const link = this.instance(row)
    try {
      return await link.request(message, timeoutMs)
    } catch (error) {
      // A connection that gave no answer in time may be dead: the next attempt makes a new one.
      if (error instanceof MirabelleError && error.code === 'timeout') link.drop(error)
      throw error
    }
  }

  async fence(row: SegmentRow, reason: string): Promise<void> {
    await this.agent(row.hostname).request(
      { type: 'agent.fence', dbid: row.dbid, epoch: this.#epoch, reason },
      FENCE_TIMEOUT_MS,
    )
  }

  close(): void {
    this.#closed = true
    for (const link of [...this.#instances.values(), ...this.#agents.values()]) link.close()
  }
}
