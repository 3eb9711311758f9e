/**
 * The sending side of the block-wise copy (replication §4): gives a running primary's data directory to one asker at a time.
 *
 * Made by the primary side, ended with it (`close`). Promises: files are read only inside an online backup, which ends when the asker ends
 * it, leaves, or says nothing for too long; WAL that the copy needs is kept until its walreceiver has had time to connect; nothing
 * outside the listed files can be read; the main thread works in slices of less than a millisecond.
 */
import { formatLsn, MirabelleError, type Lsn } from '@mirabelle/messages'
import type { Connection, Hello, Timer } from '@mirabelle/runtime'
import type { CopyConnection, CopyHost, CopySenderOptions } from './copy-host.ts'
import { CopySession } from './copy-session.ts'

/** How long WAL is kept for a copy after its connection has ended: its walreceiver has to start meanwhile, ms. */
const PIN_AFTER_MS = 300_000
/** Connections at a time: one copies, others are told that it does. */
const MAX_CONNECTIONS = 16

export class CopySender implements CopyHost {
  readonly options: CopySenderOptions
  readonly #sessions = new Set<CopySession>()
  /** WAL from here on is needed; the lowest counts. */
  readonly #pins = new Map<CopyConnection, Lsn>()
  readonly #timers = new Set<Timer>()
  #busy: CopyConnection | undefined
  #closed = false

  constructor(options: CopySenderOptions) {
    this.options = options
  }

  /** Takes over a connection of purpose `copy` (sets its handlers). Throws to refuse it. */
  accept(connection: Connection, hello: Hello): void {
    const { dbid } = this.options.identity
    if (this.#closed) throw new MirabelleError('not.ready', `dbid ${dbid} stops being primary`)
    if (this.#sessions.size >= MAX_CONNECTIONS)
      throw new MirabelleError(
        'queue.full',
        `dbid ${dbid} has ${MAX_CONNECTIONS} connections for copies already`,
      )
    this.#sessions.add(new CopySession(this, connection, hello))
  }

  /** WAL from here on must be kept; undefined when no copy needs any. */
  pinnedLsn(): Lsn | undefined {
    for (const [session, lsn] of this.#pins)
      if (session.complete && this.options.hasWal(session.hello.dbid, lsn)) this.#pins.delete(session)
    return this.#pins.size === 0 ? undefined : Math.min(...this.#pins.values())
  }

  /** True while a backup runs, or is being ended. */
  get busy(): boolean {
    return this.#busy !== undefined
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The instance is primary no more, or about to stop: all copies end. */
  close(reason: MirabelleError): void {
    this.#closed = true
    for (const session of this.#sessions) session.end(reason)
    this.#pins.clear()
    for (const timer of this.#timers) timer.clear()
    this.#timers.clear()
  }

  /** One at a time: throws `copy.busy`. */
  occupy(session: CopyConnection): void {
    const busy = this.#busy
    if (busy !== undefined) {
      throw new MirabelleError(
        'copy.busy',
        `dbid ${this.options.identity.dbid} is being copied to dbid ${busy.hello.dbid}, which began it before dbid ${session.hello.dbid} asked`,
      )
    }
    this.#busy = session
  }

  /** The session's backup has ended in PostgreSQL (or never began). */
  vacate(session: CopyConnection): void {
    if (this.#busy === session) this.#busy = undefined
  }

  pin(session: CopyConnection, lsn: Lsn): void {
    this.#pins.set(session, lsn)
  }

  /** The session's connection is closed. */
  left(session: CopyConnection): void {
    this.#sessions.delete(session as CopySession)
    if (!session.complete || this.#closed) {
      this.#pins.delete(session)
      return
    }
    this.options.log.debug(
      { dbid: session.hello.dbid, lsn: formatLsn(this.#pins.get(session) ?? 0) },
      'WAL is kept until the copy has had time to connect',
    )
    const timer = this.options.clock.setTimer(PIN_AFTER_MS, () => {
      this.#timers.delete(timer)
      this.#pins.delete(session)
    })
    this.#timers.add(timer)
  }
}
