/**
 * What this coordinator knows of distributed transactions: its own (preparing, committed, aborted), what each content had prepared or
 * committed when its lane was attached, and which finished ones may be forgotten.
 *
 * The decision rule (sql §2): a transaction is committed when all participants that its gid names have prepared it or committed it.
 * So a live coordinator may abort at any time before that: one participant that rolled back is enough to make every later judge say abort.
 */
import type { Content, Gid } from '@mirabelle/messages'

export type Verdict = 'commit' | 'abort'

/** What a content held when its lane was attached. */
export interface Inventory {
  readonly prepared: ReadonlySet<Gid>
  readonly committed: ReadonlySet<Gid>
}

interface Own {
  readonly participants: readonly Content[]
  verdict: Verdict | undefined
  /** Participants that have not yet confirmed the end of a committed transaction. */
  readonly open: Set<Content>
}

export class DtxRegistry {
  readonly #own = new Map<Gid, Own>()
  readonly #inventories = new Map<Content, Inventory>()
  readonly #waiting = new Map<Content, ((inventory: Inventory) => void)[]>()
  readonly #forgettable = new Map<Content, Set<Gid>>()
  /** Prepared transactions of earlier coordinators that cannot be judged yet, by content. */
  readonly #inDoubt = new Map<Content, Set<Gid>>()

  /** A transaction of ours is about to be prepared. */
  begin(gid: Gid, participants: readonly Content[]): void {
    this.#own.set(gid, { participants, verdict: undefined, open: new Set(participants) })
  }

  /** Decides a transaction of ours; the first decision stands. Returns the one that stands. */
  decide(gid: Gid, verdict: Verdict): Verdict {
    const own = this.#own.get(gid)
    // Gone before it was decided here: every participant lost its backend meanwhile and was attached anew without it.
    if (own === undefined) return 'abort'
    own.verdict ??= verdict
    return own.verdict
  }

  /** A participant has ended the transaction (COMMIT PREPARED or ROLLBACK PREPARED has run, or it had nothing). */
  finished(gid: Gid, content: Content): void {
    const own = this.#own.get(gid)
    if (own === undefined) return
    own.open.delete(content)
    if (own.open.size > 0) return
    this.#own.delete(gid)
    if (own.verdict === 'commit') this.forget(gid, own.participants)
  }

  /** The row of a transaction that all participants have committed may be deleted everywhere. */
  forget(gid: Gid, participants: readonly Content[]): void {
    for (const content of participants) {
      const set = this.#forgettable.get(content) ?? new Set()
      set.add(gid)
      this.#forgettable.set(content, set)
    }
  }

  /** Up to 100 gids whose rows can be deleted on a content; they count as deleted once `forgotten` is called. */
  forgettable(content: Content): Gid[] {
    return [...(this.#forgettable.get(content) ?? [])].slice(0, 100)
  }

  forgotten(content: Content, gids: readonly Gid[]): void {
    const set = this.#forgettable.get(content)
    for (const gid of gids) set?.delete(gid)
  }

  /** What a content holds, told while its lane is attached. */
  publish(content: Content, inventory: Inventory): void {
    this.#inventories.set(content, inventory)
    const waiting = this.#waiting.get(content) ?? []
    this.#waiting.delete(content)
    for (const resolve of waiting) resolve(inventory)
  }

  /**
   * A content is attached anew and holds nothing prepared any more: our transactions that were open there have ended there. One that was still
   * being prepared cannot be committed: its PREPARE was lost with the old backend.
   */
  attached(content: Content): void {
    for (const [gid, own] of this.#own) {
      if (!own.open.has(content)) continue
      this.decide(gid, 'abort')
      this.finished(gid, content)
    }
  }

  #inventoryOf(content: Content): Promise<Inventory> {
    const known = this.#inventories.get(content)
    if (known !== undefined) return Promise.resolve(known)
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(content) ?? []
      waiting.push(resolve)
      this.#waiting.set(content, waiting)
    })
  }

  /**
   * The verdict on a prepared transaction found on `content`. For one of ours that is still being prepared the answer is abort: its lane was lost,
   * so its PREPARE never came to an end that its coordinator saw. For one of an earlier coordinator all participants are asked: the answer
   * waits until each of them has been reached once.
   */
  async verdict(gid: Gid, content: Content, participants: readonly Content[]): Promise<Verdict> {
    const own = this.#own.get(gid)
    if (own !== undefined) return this.decide(gid, 'abort')
    const doubts = this.#inDoubt.get(content) ?? new Set()
    doubts.add(gid)
    this.#inDoubt.set(content, doubts)
    const inventories = await Promise.all(participants.map((one) => this.#inventoryOf(one)))
    doubts.delete(gid)
    return inventories.every((inventory) => inventory.prepared.has(gid) || inventory.committed.has(gid))
      ? 'commit'
      : 'abort'
  }

  /** Prepared transactions that nobody can judge now (shown by `mirabelle state`). */
  inDoubt(): Gid[] {
    return [...new Set([...this.#inDoubt.values()].flatMap((set) => [...set]))]
  }

  /**
   * The rows that earlier coordinators left behind, by content. Asked once all contents are attached: then nothing of theirs is prepared
   * anywhere, so nobody needs the rows any more.
   */
  leftovers(isOwn: (gid: Gid) => boolean): Map<Content, Gid[]> {
    const rows = new Map<Content, Gid[]>()
    for (const [content, inventory] of this.#inventories) {
      const gids = [...inventory.committed].filter((gid) => !isOwn(gid))
      if (gids.length > 0) rows.set(content, gids)
    }
    return rows
  }
}
