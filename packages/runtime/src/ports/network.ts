/**
 * The network port: message connections between the processes of a cluster.
 *
 * A connection exists only after the mutual handshake (architecture §5), so whoever holds one knows who the peer claims to be and
 * that it holds the cluster key. Messages arrive in order and whole, or the connection closes; both sides learn of it.
 * Heartbeats run below this port: a peer silent for longer than `silenceTimeoutMs` closes the connection with `connection.silent`.
 */
import type {
  Content,
  Dbid,
  Endpoint,
  Epoch,
  Message,
  MirabelleError,
  ReplyOf,
  RequestType,
  MessageOf,
} from '@mirabelle/messages'

/** What a connection is for; a listener treats each purpose differently. */
export type Purpose = 'control' | 'wal' | 'dispatch' | 'copy'

/** Who opens or accepts a connection. */
export interface Party {
  readonly clusterId: string
  /** An instance, an agent, or the command line. */
  readonly kind: 'instance' | 'agent' | 'cli'
  /** 0 when it is not an instance. */
  readonly dbid: Dbid
  readonly content: Content
  /** Host of the agent, or a name for logs. */
  readonly name: string
}

/** What the opener says first. */
export interface Hello extends Party {
  readonly purpose: Purpose
  readonly epoch: Epoch
}

/** Answers a request: `reply` once, or `fail` once. */
export interface Responder<K extends RequestType = RequestType> {
  reply(message: ReplyOf<K>): void
  /** Sends an `error` message; anything that is not a MirabelleError becomes `internal` and is logged with its stack. */
  fail(error: unknown): void
}

export interface ConnectionHandlers {
  /** A message that nobody waits for. `respond` is set when the peer asked for an answer. Throwing closes the connection and is logged. */
  onMessage(message: Message, respond: Responder | undefined): void
  /** Called once; the reason says why (`connection.lost`, `connection.silent`, `frame.bad`, …). */
  onClose(reason: MirabelleError): void
}

export interface Connection {
  /** The other side, as proven by the handshake. */
  readonly peer: Hello | Party
  readonly remoteAddress: string
  readonly remotePort: number
  readonly closed: boolean
  /** Set before the first turn of the event loop after the connection was handed over; messages wait for it. */
  setHandlers(handlers: ConnectionHandlers): void
  /**
   * Queues a message; what is queued in one turn leaves in one write. Silently dropped after close (onClose tells). Bytes in it
   * must not change until they are sent. Throws `frame.bad` over 64 MiB; a peer that takes nothing ends with `queue.full`.
   */
  send(message: Message): void
  /** Sends a request and waits for its answer. Rejects with the peer's error, `timeout`, or the reason of the close. */
  request<K extends RequestType>(message: MessageOf<K>, timeoutMs: number): Promise<ReplyOf<K>>
  /** Bytes queued and not yet taken by the operating system. */
  readonly bufferedBytes: number
  /** Resolves when bufferedBytes is below the low-water mark (1 MiB), or the connection closed. */
  drained(): Promise<void>
  /**
   * Sends what is queued, then ends the connection; onClose is called on both sides, here never within this call. A reason is
   * told to the peer, whose onClose gets it.
   */
  close(reason?: MirabelleError): void
}

export interface Listener {
  readonly port: number
  /** Frees the port. Connections that were handed over stay. */
  close(): Promise<void>
}

export interface ConnectOptions {
  /** How long it may take, ms. */
  readonly timeoutMs: number
  /** How long it may take when a host has answered, though the process there has not: it may be waiting for a CPU. Default and least: `timeoutMs`. */
  readonly reachedTimeoutMs?: number
  /** Interval of heartbeats is a quarter of it. 0 = no heartbeats. */
  readonly silenceTimeoutMs: number
}

export interface Network {
  /** Listens on all addresses of the endpoint (port 0 = any free one; rejects with `listen.failed`). `accept` gets each proven connection, or throws a MirabelleError to refuse it. */
  listen(
    endpoint: Endpoint,
    self: () => Party,
    accept: (connection: Connection, hello: Hello) => void,
  ): Promise<Listener>
  /** Connects to the first address that answers. Rejects with `connection.refused`, `handshake.failed`, `cluster.foreign`, `timeout`. */
  connect(endpoint: Endpoint, hello: Hello, options: ConnectOptions): Promise<Connection>
}
