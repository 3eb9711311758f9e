import { EventEmitter, once } from 'node:events'
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  commandComplete,
  copyData,
  copyInResponse,
  copyOutResponse,
  COPY_DONE,
  createFrontDoor,
  dataRow,
  errorResponse,
  Frontend,
  PARSE_COMPLETE,
  readBind,
  readCopyData,
  readCopyFail,
  readDescribe,
  readExecute,
  readParse,
  readQuery,
  readyForQuery,
  rowDescription,
  textField,
  type ClientConnection,
  type CloseReason,
  type FrontDoor,
  type FrontDoorOptions,
  type FrontendMessage,
  type FrontSession,
} from '@mirabelle/pgwire'
import { memoryLogger } from './memory-logger.ts'

/** Understands a few words instead of SQL: what is tested is the door before it. */
export class ToySession extends EventEmitter implements FrontSession {
  readonly connection: ClientConnection
  readonly handled: string[] = []
  closedBy: CloseReason | undefined
  closeCalls = 0
  maxBuffered = 0
  copied: Buffer[] = []
  #cancelled: (() => void) | undefined
  #parameters: (string | null)[] = []

  readonly #events: EventEmitter

  /** `events` hears what happens to any session of the door. */
  constructor(connection: ClientConnection, events: EventEmitter) {
    super()
    this.connection = connection
    this.#events = events
  }

  handle(message: FrontendMessage): void | Promise<void> {
    const { connection } = this
    this.handled.push(String.fromCharCode(message.type))
    this.maxBuffered = Math.max(this.maxBuffered, connection.bufferedBytes)
    this.#events.emit('handled', this)
    switch (message.type) {
      case Frontend.query:
        return this.#query(readQuery(message))
      case Frontend.parse:
        readParse(message)
        return connection.send(PARSE_COMPLETE)
      case Frontend.bind:
        this.#parameters = readBind(message).parameters.map((value) => value && value.toString())
        return connection.send(BIND_COMPLETE)
      case Frontend.describe:
        readDescribe(message)
        return connection.send(rowDescription(this.#parameters.map((_, index) => textField(`p${index + 1}`))))
      case Frontend.execute:
        readExecute(message)
        connection.send(dataRow(this.#parameters))
        return connection.send(commandComplete('SELECT 1'))
      case Frontend.close:
        return connection.send(CLOSE_COMPLETE)
      case Frontend.sync:
        return connection.send(readyForQuery('I'))
      case Frontend.copyData:
        this.copied.push(readCopyData(message))
        return
      case Frontend.copyDone:
        connection.send(
          commandComplete(`COPY ${Buffer.concat(this.copied).toString().split('\n').length - 1}`),
        )
        return connection.send(readyForQuery('I'))
      case Frontend.copyFail:
        connection.send(
          errorResponse({ code: '57014', message: `COPY from stdin failed: ${readCopyFail(message)}` }),
        )
        return connection.send(readyForQuery('I'))
    }
  }

  async #slowly(text: string): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.#echo(text)
  }

  #echo(text: string): void {
    const { connection } = this
    connection.send(rowDescription([textField('echo')]))
    connection.send(dataRow([text]))
    connection.send(commandComplete('SELECT 1'))
    connection.send(readyForQuery('I'))
  }

  #query(text: string): void | Promise<void> {
    const { connection } = this
    if (text.startsWith('slow')) return this.#slowly(text)
    if (text === 'wait') return this.#wait()
    if (text.startsWith('big')) return this.#big(Number(text.slice(4)))
    if (text === 'throw') throw new Error('a planted bug')
    if (text === 'reject') return Promise.reject(new Error('a planted bug'))
    if ((text.startsWith('copy') && text.includes('stdin')) || text.includes('STDIN')) {
      return connection.send(copyInResponse(0, 2))
    }
    if (/^copy .*stdout/i.test(text)) {
      connection.send(copyOutResponse(0, 2))
      connection.send(copyData(Buffer.from('1\tone\n')))
      connection.send(copyData(Buffer.from('2\ttwo\n')))
      connection.send(COPY_DONE)
      connection.send(commandComplete('COPY 2'))
      return connection.send(readyForQuery('I'))
    }
    if (text === 'error') {
      connection.send(
        errorResponse({ code: '22012', message: 'division by zero', hint: 'Do not.', position: 3 }),
      )
      return connection.send(readyForQuery('I'))
    }
    this.#echo(text)
  }

  /** Waits until it is cancelled or closed. */
  async #wait(): Promise<void> {
    const cancelled = new Promise<void>((resolve) => (this.#cancelled = resolve))
    this.#events.emit('waiting', this)
    await cancelled
    this.connection.send(errorResponse({ code: '57014', message: 'canceling statement due to user request' }))
    this.connection.send(readyForQuery('I'))
  }

  /** Sends `count` rows of 64 KiB, at the pace of the client. */
  async #big(count: number): Promise<void> {
    const { connection } = this
    const row = dataRow([Buffer.alloc(65_536, 'x')])
    connection.send(rowDescription([textField('big')]))
    for (let sent = 0; sent < count && !connection.closed; sent += 1) {
      connection.send(row)
      this.maxBuffered = Math.max(this.maxBuffered, connection.bufferedBytes)
      if (connection.bufferedBytes >= 1024 * 1024) this.#events.emit('behind', this)
      await connection.drained()
    }
    connection.send(commandComplete(`SELECT ${count}`))
    connection.send(readyForQuery('I'))
  }

  cancel(): void {
    this.#cancelled?.()
  }

  close(reason: CloseReason): void {
    this.closedBy = reason
    this.closeCalls += 1
    this.#cancelled?.()
    this.emit('closed', reason)
  }

  /** Resolves when the door has closed this session, with the reason. */
  async whenClosed(): Promise<CloseReason> {
    if (this.closedBy === undefined) await once(this, 'closed')
    return this.closedBy!
  }
}

/** A door on a free port with toy sessions behind it. */
export async function toyDoor(options: Partial<FrontDoorOptions> = {}) {
  const logger = memoryLogger()
  const sessions: ToySession[] = []
  const events = new EventEmitter()
  const door: FrontDoor = await createFrontDoor({
    listen: { host: '127.0.0.1', port: 0 },
    authenticate: () => ({ method: 'trust' }),
    logger,
    sessionFactory: (connection) => {
      const session = new ToySession(connection, events)
      sessions.push(session)
      events.emit('session', session)
      return {
        session,
        parameters: {
          server_version: '18.6',
          server_encoding: 'UTF8',
          client_encoding: 'UTF8',
          DateStyle: 'ISO, MDY',
          integer_datetimes: 'on',
          standard_conforming_strings: 'on',
        },
      }
    },
    ...options,
  })
  return { door, logger, sessions, events }
}

/** Resolves when the door counts as many connections as expected; the client learns of a close before the server does. */
export async function untilStats(
  door: FrontDoor,
  expected: Partial<ReturnType<FrontDoor['stats']>>,
): Promise<void> {
  const { sessions, unauthenticated } = expected
  const differs = (): boolean => {
    const now = door.stats()
    return (
      now.sessions !== (sessions ?? now.sessions) ||
      now.unauthenticated !== (unauthenticated ?? now.unauthenticated)
    )
  }
  while (differs()) await new Promise((resolve) => setImmediate(resolve))
}
