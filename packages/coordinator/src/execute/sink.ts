/** Where the answer of one statement goes: to the client, or into memory (cursors, portals, evaluated rows). */
import { Backend, forEachMessage, type ClientConnection } from '@mirabelle/pgwire'
import { SqlError } from '../errors.ts'

export interface Sink {
  /** Takes whole messages; never a ReadyForQuery. */
  send(bytes: Uint8Array): void
  /** Await it between the pieces of a large answer; undefined when there is nothing to wait for. */
  drained(): Promise<void> | undefined
}

/** Sends to the client. */
export function clientSink(connection: ClientConnection): Sink {
  return {
    send: (bytes) => connection.send(bytes),
    drained: () => (connection.bufferedBytes > 0 ? connection.drained() : undefined),
  }
}

/** Keeps an answer in memory, up to a limit. */
export class CollectingSink implements Sink {
  /** RowDescription, if one came. */
  fields: Buffer | undefined
  /** DataRow messages. */
  readonly rows: Buffer[] = []
  /** Notices, CommandComplete and whatever else came. */
  readonly others: Buffer[] = []
  #bytes = 0
  readonly #limitBytes: number
  readonly #what: string

  constructor(limitBytes: number, what: string) {
    this.#limitBytes = limitBytes
    this.#what = what
  }

  get bytes(): number {
    return this.#bytes
  }

  send(bytes: Uint8Array): void {
    this.#bytes += bytes.length
    if (this.#bytes > this.#limitBytes) {
      throw new SqlError('53400', `${this.#what} is larger than gather_limit (${this.#limitBytes} bytes)`, {
        hint: 'Ask for fewer rows, or raise gather_limit.',
      })
    }
    const copy = Buffer.from(bytes)
    forEachMessage(copy, (type, start, end) => {
      const message = copy.subarray(start, end)
      if (type === Backend.dataRow) this.rows.push(message)
      else if (type === Backend.rowDescription) this.fields = message
      else this.others.push(message)
    })
  }

  drained(): undefined {
    return undefined
  }

  /** Passes all of it on. */
  replay(sink: Sink): void {
    if (this.fields !== undefined) sink.send(this.fields)
    for (const row of this.rows) sink.send(row)
    for (const other of this.others) sink.send(other)
  }
}
