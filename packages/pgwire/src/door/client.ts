/** One authenticated client as its session sees it: made by the front door after login, ends with its connection. */
import { noticeResponse } from '../codec/error-fields.ts'
import { parameterStatus } from '../codec/backend-encode.ts'
import { settingsOf } from '../codec/startup-packet.ts'
import type { ErrorFields, PgError } from '../errors.ts'
import type { DoorConnection } from './door-connection.ts'
import type { ClientConnection, FrontSession, Peer } from './front-door-types.ts'
import type { LoggedIn } from './login.ts'

export class Client implements ClientConnection {
  readonly pid: number
  readonly user: string
  readonly database: string
  readonly parameters: ReadonlyMap<string, string>
  readonly settings: ReadonlyMap<string, string>
  readonly protocolMinor: number
  readonly connection: DoorConnection
  readonly #reported = new Map<string, string>()
  #session: FrontSession | undefined

  constructor(pid: number, connection: DoorConnection, { request, protocolMinor }: LoggedIn) {
    this.pid = pid
    this.connection = connection
    this.user = request.user
    this.database = request.database
    this.parameters = request.parameters
    this.settings = settingsOf(request.parameters)
    this.protocolMinor = protocolMinor
  }

  get peer(): Peer {
    return this.connection.peer
  }

  get closed(): boolean {
    return this.connection.over
  }

  get bufferedBytes(): number {
    return this.connection.output.bufferedBytes
  }

  /** The session is there; its cancel requests find it from now on. */
  attach(session: FrontSession): void {
    this.#session = session
  }

  cancel(): void {
    if (!this.closed) this.#session?.cancel()
  }

  send(bytes: Uint8Array): void {
    this.connection.output.send(bytes)
  }

  drained(): Promise<void> {
    return this.connection.output.drained()
  }

  parameterStatus(name: string, value: string): void {
    if (this.#reported.get(name) === value) return
    this.#reported.set(name, value)
    this.send(parameterStatus(name, value))
  }

  notice(fields: Partial<ErrorFields> & Pick<ErrorFields, 'code' | 'message'>): void {
    this.send(noticeResponse(fields))
  }

  fatal(error: PgError): void {
    this.connection.fatal(error)
  }
}
