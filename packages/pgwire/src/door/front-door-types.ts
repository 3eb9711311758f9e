/** What the front door needs from the one who opens it, and what it gives to the sessions behind it. */
import type { Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import type { FrontendMessage } from '../codec/frontend-parser.ts'
import type { ErrorFields, PgError } from '../errors.ts'
import type { OpenSpillFile } from './spill.ts'

/** A pino logger fits. */
export interface DoorLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** A timer that can be cleared. */
export interface DoorTimer {
  clear(): void
}

/** Timers: the clock port of the runtime fits. */
export interface DoorClock {
  /** Calls `fn` once after `ms`. */
  setTimer(ms: number, fn: () => void): DoorTimer
}

/** The other end of the socket. */
export interface Peer {
  readonly address: string
  readonly port: number
  /** True for 127.0.0.0/8 and ::1. */
  readonly loopback: boolean
  /** True once TLS is on. */
  readonly encrypted: boolean
}

/** Who wants in, before it has proved to be that. */
export interface LoginRequest {
  readonly user: string
  readonly database: string
  readonly peer: Peer
  /** All startup parameters as sent. */
  readonly parameters: ReadonlyMap<string, string>
}

/**
 * How a client has to prove itself.
 * `trust`: not at all. `scram`: by its password against a verifier as in `pg_authid.rolpassword`; with `undefined`, or a
 * verifier of another kind, the client goes through the whole exchange and is then refused as if the password were wrong.
 * `reject`: it is told no, with `message` (FATAL 28000).
 */
export type AuthDecision =
  | { readonly method: 'trust' }
  | { readonly method: 'scram'; readonly verifier: string | undefined }
  | { readonly method: 'reject'; readonly message?: string; readonly hint?: string }

/** The policy: decides by user, database, address and encryption. A throw refuses the client. */
export type Authenticate = (request: LoginRequest) => AuthDecision | Promise<AuthDecision>

/** Asked after authentication; a returned or thrown PgError refuses the client. Default: only database `postgres` exists. */
export type Admit = (request: LoginRequest) => PgError | undefined | Promise<PgError | undefined>

/** Why a session ends: `terminate` politely, `disconnect` the socket is gone, `fatal` an error or an administrator ended it. */
export type CloseReason = 'terminate' | 'disconnect' | 'fatal' | 'shutdown'

/** What stands behind one authenticated connection. */
export interface FrontSession {
  /**
   * Takes the next message of the client, in order of arrival. If it returns a promise, the next message comes only after
   * that has settled; what arrives meanwhile waits, with back-pressure on the socket. Without a promise the next one
   * follows at once, so a batch Parse … Sync costs no turn of the event loop. Its answers go out in one write.
   * A throw (or a rejection) ends the connection with that error as FATAL; errors of SQL are answers, not throws.
   */
  handle(message: FrontendMessage): void | Promise<void>
  /** A cancel request with the right key came in. Must not throw. */
  cancel(): void
  /** Called exactly once; no message comes afterwards. Roll back, free, forget. May come while `handle` is still waiting. */
  close(reason: CloseReason): void | Promise<void>
}

/** One authenticated client, as its session sees it. */
export interface ClientConnection {
  /** Number of the session, as in BackendKeyData and `pg_backend_pid()`; unique among the open ones of this door. */
  readonly pid: number
  readonly user: string
  readonly database: string
  readonly peer: Peer
  /** All startup parameters as sent. */
  readonly parameters: ReadonlyMap<string, string>
  /** The settings among them, those inside `options` included. */
  readonly settings: ReadonlyMap<string, string>
  /** Minor version of protocol 3. */
  readonly protocolMinor: number
  /** True when nothing sent will arrive any more. */
  readonly closed: boolean
  /** Bytes that were sent and that the kernel has not taken yet. */
  readonly bufferedBytes: number
  /** Sends whole messages; all that is sent in one tick goes out in one write. The bytes must not change afterwards. */
  send(bytes: Uint8Array): void
  /**
   * Resolves when fewer than `limits.highWaterBytes` are buffered, or when the connection is closed (look at `closed`):
   * await it between the chunks of a large result.
   */
  drained(): Promise<void>
  /** Sends a ParameterStatus, unless the client has this value already. */
  parameterStatus(name: string, value: string): void
  /** Sends a NoticeResponse. */
  notice(fields: Partial<ErrorFields> & Pick<ErrorFields, 'code' | 'message'>): void
  /** Tells the client why, closes the connection and the session. */
  fatal(error: PgError): void
}

/** What a session factory gives back. */
export interface OpenedSession {
  readonly session: FrontSession
  /** Sent as ParameterStatus before the first ReadyForQuery: server_version, client_encoding, TimeZone, … */
  readonly parameters: Readonly<Record<string, string>>
}

/** Opens a session for an authenticated client. A throw refuses the client with that error as FATAL. */
export type SessionFactory = (connection: ClientConnection) => OpenedSession | Promise<OpenedSession>

export interface DoorLimits {
  /** Open sessions; beyond it FATAL 53300. */
  readonly maxConnections: number
  /** Connections that are not yet authenticated; beyond it the oldest one goes without a word, of the address that has the most. */
  readonly maxUnauthenticated: number
  readonly authenticationTimeoutMs: number
  /** Of a single message. */
  readonly maxMessageBytes: number
  /** Input of one client that waits for its session; beyond it the socket is not read. */
  readonly maxQueuedBytes: number
  /** Output of one client that it has not read, in memory; beyond it its messages wait and `drained()` does not resolve. */
  readonly highWaterBytes: number
  /** The same in a file, where the door can make one: of one client, and of all of them. */
  readonly spillBytes: number
  readonly spillTotalBytes: number
  /** A client that reads nothing for this long while results wait for it is cut off; 0 waits for ever. */
  readonly clientWriteTimeoutMs: number
  /** How long a connection that was told goodbye may stay before it is destroyed. */
  readonly lingerMs: number
}

export const DEFAULT_LIMITS: DoorLimits = {
  maxConnections: 500,
  maxUnauthenticated: 200,
  authenticationTimeoutMs: 60_000,
  maxMessageBytes: 64 * 1024 * 1024,
  maxQueuedBytes: 1024 * 1024,
  highWaterBytes: 1024 * 1024,
  spillBytes: 1024 * 1024 * 1024,
  spillTotalBytes: 4 * 1024 * 1024 * 1024,
  clientWriteTimeoutMs: 60_000,
  lingerMs: 2_000,
}

export interface FrontDoorOptions {
  /** Port 0 takes a free one; see `FrontDoor.address`. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Certificate and key; without it SSLRequest is answered with N. */
  readonly tls?: SecureContextOptions
  readonly authenticate: Authenticate
  readonly admit?: Admit
  readonly sessionFactory: SessionFactory
  readonly logger: DoorLogger
  readonly limits?: Partial<DoorLimits>
  /** Asked at each login; wins over `limits.maxConnections`, so that it can change while the door is open, and depend on who comes. */
  readonly maxConnections?: (request: LoginRequest) => number
  /** Asked for each connection; wins over `limits.authenticationTimeoutMs`. */
  readonly authenticationTimeoutMs?: () => number
  /** Makes a file for what a slow client has not read yet. Without it whoever makes an answer waits for its client. */
  readonly openSpillFile?: OpenSpillFile
  /** Default: the timers of Node. */
  readonly clock?: DoorClock
  /** Source of keys and nonces. Default: node:crypto. */
  readonly randomBytes?: (count: number) => Buffer
  /** Makes the salts of unknown users the same after a restart. Default: random. */
  readonly mockAuthenticationSecret?: Uint8Array
  /** Refuses all startups with this error from the beginning; see `FrontDoor.setNotReady`. */
  readonly notReady?: PgError
}

/** smart: no new sessions, wait for the open ones. fast: end them with 57P01. immediate: cut them off. */
export type ShutdownMode = 'smart' | 'fast' | 'immediate'

export interface FrontDoor {
  readonly address: { readonly host: string; readonly port: number }
  /** Takes over a connection that did not come through the listening socket. */
  serve(socket: Socket): void
  /** Numbers for metrics. */
  stats(): { readonly sessions: number; readonly unauthenticated: number }
  /** Every startup is refused with this error from now on; `undefined` opens the door. Open sessions are not touched. */
  setNotReady(error: PgError | undefined): void
  /** Cancels what this session runs (pg_cancel_backend). @returns false if there is no such session */
  cancel(pid: number): boolean
  /** Ends this session (pg_terminate_backend), by default with 57P01. @returns false if there is no such session */
  terminate(pid: number, error?: PgError): boolean
  /** Ends all sessions, by default with 57P01; the door stays open. */
  terminateAll(error?: PgError): void
  /** Resolves when all sessions have closed and the port is free. A later call with a harder mode hastens it. */
  shutdown(mode: ShutdownMode): Promise<void>
  /** `shutdown('fast')`. */
  close(): Promise<void>
}
