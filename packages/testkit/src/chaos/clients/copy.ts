/** COPY over node-postgres, which has no client for it: one statement of its queue, made for one COPY FROM STDIN or TO STDOUT. */
import type pg from 'pg'

/** The part of node-postgres's connection that a COPY needs. */
interface Wire {
  query(text: string): void
  sendCopyFromChunk(chunk: Uint8Array): void
  endCopyFrom(): void
}

/** What node-postgres calls of a statement that is under way. */
class Copy {
  /** Replaced by node-postgres where it watches the time. */
  callback: (error?: Error | null) => void
  readonly #text: string
  readonly #rows: string
  readonly #got: Uint8Array[] = []

  constructor(text: string, rows: string, callback: (error?: Error | null) => void) {
    this.#text = text
    this.#rows = rows
    this.callback = callback
  }

  /** What came. */
  get output(): string {
    return Buffer.concat(this.#got).toString('utf8')
  }

  submit(wire: Wire): void {
    wire.query(this.#text)
  }
  handleCopyInResponse(wire: Wire): void {
    wire.sendCopyFromChunk(Buffer.from(this.#rows))
    wire.endCopyFrom()
  }
  handleCopyData({ chunk }: { readonly chunk: Uint8Array }): void {
    this.#got.push(chunk)
  }
  handleError(error: Error): void {
    const { callback } = this
    // ReadyForQuery comes behind it.
    this.callback = () => undefined
    callback(error)
  }
  handleReadyForQuery(): void {
    this.callback(null)
  }
  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}

/** Resolves with what COPY TO STDOUT has sent; `rows` is what COPY FROM STDIN gets. Rejects as a query does. */
export function copy(client: pg.Client, text: string, rows = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const query = new Copy(text, rows, (error) => {
      if (error === undefined || error === null) resolve(query.output)
      else reject(error)
    })
    client.query(query as unknown as pg.Submittable)
  })
}
