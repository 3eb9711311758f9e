/**
 * The database of the stand-in engine: lists of ids and single values by name, transactions, prepared transactions. All of it follows from WAL records;
 * a primary makes records and applies them, a recovery applies what it reads. No I/O.
 */

/** What one WAL record says (its payload is this as JSON). */
export type KvRecord =
  | { readonly t: 'checkpoint' }
  /** Part of transaction `x`. */
  | { readonly t: 'change'; readonly x: number; readonly change: KvChange }
  | { readonly t: 'commit'; readonly x: number }
  | { readonly t: 'prepare'; readonly x: number; readonly gid: string }
  | { readonly t: 'commitPrepared'; readonly gid: string }
  | { readonly t: 'rollbackPrepared'; readonly gid: string }

export type KvChange =
  | { readonly op: 'put'; readonly key: string; readonly value: string }
  | { readonly op: 'add'; readonly key: string; readonly by: number }
  | { readonly op: 'append'; readonly key: string; readonly id: string }
  | { readonly op: 'dtx'; readonly gid: string }
  | { readonly op: 'undtx'; readonly gid: string }

export class KvStore {
  readonly values = new Map<string, string>()
  readonly lists = new Map<string, string[]>()
  /** What pg_prepared_xact() lists, in the order of preparing. */
  readonly prepared = new Map<string, readonly KvChange[]>()
  /** pg_catalog.dtx_committed */
  readonly dtxCommitted = new Set<string>()
  readonly #open = new Map<number, KvChange[]>()

  /** Does what a record says. */
  apply(record: KvRecord): void {
    switch (record.t) {
      case 'checkpoint':
        return
      case 'change': {
        const changes = this.#open.get(record.x)
        if (changes === undefined) this.#open.set(record.x, [record.change])
        else changes.push(record.change)
        return
      }
      case 'commit':
        this.#commit(this.#take(record.x))
        return
      case 'prepare':
        this.prepared.set(record.gid, this.#take(record.x))
        return
      case 'commitPrepared':
        this.#commit(this.prepared.get(record.gid) ?? [])
        this.prepared.delete(record.gid)
        return
      case 'rollbackPrepared':
        this.prepared.delete(record.gid)
    }
  }

  /** Transactions that had not ended when the WAL did are rolled back. */
  endRecovery(): void {
    this.#open.clear()
  }

  #take(x: number): readonly KvChange[] {
    const changes = this.#open.get(x) ?? []
    this.#open.delete(x)
    return changes
  }

  #commit(changes: readonly KvChange[]): void {
    for (const change of changes) {
      if (change.op === 'put') this.values.set(change.key, change.value)
      else if (change.op === 'add')
        this.values.set(change.key, String(Number(this.values.get(change.key) ?? 0) + change.by))
      else if (change.op === 'dtx') this.dtxCommitted.add(change.gid)
      else if (change.op === 'undtx') this.dtxCommitted.delete(change.gid)
      else {
        const list = this.lists.get(change.key)
        if (list === undefined) this.lists.set(change.key, [change.id])
        else list.push(change.id)
      }
    }
  }
}

export const encodeKv = (record: KvRecord): Uint8Array => Buffer.from(JSON.stringify(record))
export const decodeKv = ({ buffer, byteOffset, length }: Uint8Array): KvRecord =>
  JSON.parse(Buffer.from(buffer, byteOffset, length).toString()) as KvRecord
