/**
 * The front door: the listening socket, the connections behind it, and what ends them.
 *
 * Started by the coordinator (or its standby, which says "not ready" to everyone); ended by `shutdown()`. Promises: no client
 * takes another one or the process down; each session is closed exactly once; all that is held for a client is bounded.
 */
import { randomBytes as cryptoRandomBytes } from 'node:crypto'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import { UnprovenConnections } from '@mirabelle/runtime'
import { backendKeyData, readyForQuery } from '../codec/backend-encode.ts'
import { pgwireError, toPgError, type PgError } from '../errors.ts'
import { Client } from './client.ts'
import { DoorConnection } from './door-connection.ts'
import {
  DEFAULT_LIMITS,
  type Admit,
  type DoorClock,
  type DoorLimits,
  type FrontDoor,
  type FrontDoorOptions,
  type ShutdownMode,
} from './front-door-types.ts'
import { login, type LoginPolicy } from './login.ts'
import { nodeClock } from './node-clock.ts'
import { SessionRegistry } from './session-registry.ts'
import { SpillBudget } from './spill.ts'

const KEEP_ALIVE_MS = 60_000
const MOCK_SECRET_BYTES = 32

/** Opens the door. Resolves when it listens; rejects if the port cannot be had (EADDRINUSE, EACCES, …). */
export async function createFrontDoor(options: FrontDoorOptions): Promise<FrontDoor> {
  const door = new Door(options)
  await door.listen()
  return door
}

const adminShutdown = (): PgError =>
  pgwireError('adminShutdown', 'terminating connection due to administrator command')

const shuttingDown = (): PgError => pgwireError('cannotConnectNow', 'the database system is shutting down')

const onlyPostgres: Admit = ({ database }) =>
  database === 'postgres'
    ? undefined
    : pgwireError('invalidDatabase', `database "${database}" does not exist`, {
        hint: 'There is one database here: connect to "postgres".',
      })

class Door implements FrontDoor {
  readonly #options: FrontDoorOptions
  readonly #limits: DoorLimits
  readonly #clock: DoorClock
  readonly #secureContext: SecureContext | undefined
  readonly #policy: LoginPolicy
  readonly #sessions: SessionRegistry<Client>
  readonly #connections = new Set<DoorConnection>()
  readonly #server: Server
  readonly #unauthenticated: UnprovenConnections
  readonly #spillBudget: SpillBudget
  #notReady: PgError | undefined
  #stopping = false
  #waiters: { holds: () => boolean; resolve: () => void }[] = []

  constructor(options: FrontDoorOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#clock = options.clock ?? nodeClock
    this.#secureContext = options.tls === undefined ? undefined : createSecureContext(options.tls)
    this.#notReady = options.notReady
    this.#spillBudget = new SpillBudget(this.#limits.spillTotalBytes)
    const randomBytes = options.randomBytes ?? cryptoRandomBytes
    this.#sessions = new SessionRegistry(randomBytes)
    this.#policy = {
      authenticate: options.authenticate,
      admit: options.admit ?? onlyPostgres,
      notReady: () => this.#notReady,
      cancel: (pid, secret) => this.#cancelRequest(pid, secret),
      randomBytes,
      mockSecret: options.mockAuthenticationSecret ?? randomBytes(MOCK_SECRET_BYTES),
    }
    this.#unauthenticated = new UnprovenConnections({
      clock: this.#clock,
      most: this.#limits.maxUnauthenticated,
      timeoutMs: () => this.#authenticationTimeoutMs(),
    })
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
      (socket) => this.serve(socket),
    )
  }

  get address(): { host: string; port: number } {
    const { address, port } = this.#server.address() as AddressInfo
    return { host: address, port }
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#options.listen, () => {
        this.#server.off('error', reject)
        this.#server.on('error', (err) => this.#options.logger.error({ err }, 'front door cannot accept'))
        this.#options.logger.info(this.address, 'front door listens')
        resolve()
      })
    })
  }

  stats(): { sessions: number; unauthenticated: number } {
    return { sessions: this.#sessions.size, unauthenticated: this.#unauthenticated.size }
  }

  setNotReady(error: PgError | undefined): void {
    if (!this.#stopping) this.#notReady = error
  }

  cancel(pid: number): boolean {
    const client = this.#sessions.get(pid)
    if (client === undefined || client.closed) return false
    client.cancel()
    return true
  }

  terminate(pid: number, error: PgError = adminShutdown()): boolean {
    const client = this.#sessions.get(pid)
    if (client === undefined || client.closed) return false
    client.connection.fatal(error)
    return true
  }

  terminateAll(error: PgError = adminShutdown()): void {
    for (const client of this.#sessions.members()) client.connection.fatal(error)
  }

  async shutdown(mode: ShutdownMode): Promise<void> {
    if (!this.#stopping) this.#options.logger.info({ mode, ...this.stats() }, 'front door shuts down')
    this.#stopping = true
    this.#notReady = shuttingDown()
    if (mode === 'smart') await this.#until(() => this.#sessions.size === 0)
    if (this.#server.listening) this.#server.close()
    if (mode === 'immediate') for (const connection of this.#connections) connection.destroy('shutdown')
    for (const client of this.#sessions.members()) client.connection.fatal(adminShutdown(), 'shutdown')
    for (const connection of this.#connections) connection.fatal(shuttingDown(), 'shutdown')
    await this.#until(() => this.#connections.size === 0)
  }

  close(): Promise<void> {
    return this.shutdown('fast')
  }

  serve(socket: Socket): void {
    const { logger, openSpillFile: open } = this.#options
    const leave: (() => void)[] = []
    const connection = new DoorConnection(socket, {
      limits: this.#limits,
      clock: this.#clock,
      logger,
      secureContext: this.#secureContext,
      spilling: open === undefined ? undefined : { open, budget: this.#spillBudget },
      onClosed: () => {
        for (const step of leave) step()
        this.#connections.delete(connection)
        const due = this.#waiters.filter(({ holds }) => holds())
        this.#waiters = this.#waiters.filter((waiter) => !due.includes(waiter))
        for (const { resolve } of due) resolve()
      },
    })
    this.#connections.add(connection)
    void this.#serve(connection, leave)
  }

  /** Resolves when the condition holds; it is looked at whenever a connection has closed. */
  #until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ holds, resolve }))
  }

  /** Logs a client in and opens its session; `leave` collects what has to be undone when the connection is closed. */
  async #serve(connection: DoorConnection, leave: (() => void)[]): Promise<void> {
    const authenticated = this.#watchLogin(connection)
    leave.push(authenticated)
    try {
      const who = await login(connection, this.#policy)
      if (who === undefined) return connection.finish()
      if (connection.over) return // gone while the policy made up its mind
      const maxConnections = this.#options.maxConnections?.(who.request) ?? this.#limits.maxConnections
      if (this.#sessions.size >= maxConnections) {
        throw pgwireError('tooManyConnections', 'sorry, too many clients already', {
          detail: `max_connections leaves room for ${maxConnections}.`,
        })
      }
      authenticated()
      const {
        pid,
        secret,
        member: client,
      } = this.#sessions.add(who.protocolMinor, (number) => new Client(number, connection, who))
      const { logger } = this.#options
      const fields = { pid, user: client.user, address: connection.peer.address }
      logger.debug(fields, 'session opened')
      leave.push(() => {
        this.#sessions.remove(pid)
        logger.debug(fields, 'session closed')
      })
      const { session, parameters } = await this.#options.sessionFactory(client)
      client.attach(session)
      for (const [name, value] of Object.entries(parameters)) client.parameterStatus(name, value)
      client.send(backendKeyData(pid, secret))
      client.send(readyForQuery('I'))
      connection.run(session)
    } catch (error) {
      connection.refuse(toPgError(error))
    }
  }

  /** Ends the connection when its login takes too long, or when it is the first to make room. @returns what ends the watch */
  #watchLogin(connection: DoorConnection): () => void {
    const timeoutMs = this.#authenticationTimeoutMs()
    this.#unauthenticated.add(connection, connection.peer.address, (late) => {
      if (late)
        return connection.refuse(
          pgwireError('authenticationTimeout', 'canceling authentication due to timeout', {
            detail: `authentication_timeout is ${timeoutMs} ms.`,
          }),
        )
      // Without a word: whoever is told stays open until it has heard, and there are too many already.
      const fields = { address: connection.peer.address, most: this.#limits.maxUnauthenticated }
      this.#options.logger.warn(fields, 'connection closed: too many connections wait for authentication')
      connection.destroy('fatal')
    })
    return () => this.#unauthenticated.done(connection)
  }

  #authenticationTimeoutMs(): number {
    return this.#options.authenticationTimeoutMs?.() ?? this.#limits.authenticationTimeoutMs
  }

  #cancelRequest(pid: number, secret: Uint8Array): void {
    const found = this.#sessions.cancel(pid, secret)
    this.#options.logger.debug(
      { pid, found },
      found ? 'session cancelled' : 'cancel request matches no session',
    )
  }
}
