/**
 * Loads rows (COPY data) into their contents, inside a transaction that holds these: split by content, sent in items of some megabytes.
 * Bounded: each content has at most two items under way, then the source waits.
 */
import {
  ALL_CONTENTS,
  ANY_CONTENT,
  contentOfKey,
  CopyRowSplitter,
  type CopyInPlan,
  type EngineHash,
  type KeyValue,
} from '@mirabelle/sql'
import { Breather } from '@mirabelle/runtime'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { SqlError } from '../errors.ts'
import { asError } from '../execute/as-error.ts'
import { askEngine, pickContent } from '../execute/routing.ts'
import { refusal } from '../execute/refusal.ts'
import type { Scope } from '../execute/scope.ts'
import { CopyBlocks } from './copy-blocks.ts'

const ITEM_BYTES = 4 * 1024 * 1024
const MAX_ITEMS_UNDER_WAY = 2
const MAX_UNPLACED = 1_000
const COPY_DONE = Uint8Array.of(0x63, 0, 0, 0, 4)

interface Load {
  readonly blocks: CopyBlocks
  readonly underWay: Set<Promise<void>>
}

/** Returns the number of rows. `source` gives the COPY data in pieces. */
export async function loadRows(
  scope: Scope,
  transaction: DistributedTransaction,
  plan: CopyInPlan,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<number> {
  const loader = new RowLoader(scope, transaction, plan)
  const breather = new Breather(scope.services.ports.clock)
  for await (const piece of source) {
    await loader.push(piece)
    await breather.due()
  }
  return loader.finish()
}

class RowLoader {
  readonly #scope: Scope
  readonly #transaction: DistributedTransaction
  readonly #plan: CopyInPlan
  readonly #contents: readonly number[]
  readonly #loads = new Map<number, Load>()
  readonly #splitter: CopyRowSplitter
  readonly #unplaced: { readonly bytes: Uint8Array; readonly key: readonly KeyValue[] }[] = []
  #failure: Error | undefined

  constructor(scope: Scope, transaction: DistributedTransaction, plan: CopyInPlan) {
    this.#scope = scope
    this.#transaction = transaction
    this.#plan = plan
    this.#contents = scope.services.dispatcher.dataContents
    this.#splitter = new CopyRowSplitter(plan, this.#contents.length, {
      rows: (content, bytes) => this.#rows(content, bytes),
      unplaced: (bytes, key) =>
        void this.#unplaced.push({ bytes: Uint8Array.prototype.slice.call(bytes), key }),
    })
  }

  async push(piece: Uint8Array): Promise<void> {
    this.#split(() => this.#splitter.push(piece))
    if (this.#unplaced.length >= MAX_UNPLACED) await this.#placeByEngine()
    for (const [content, load] of this.#loads) {
      if (load.blocks.bytes >= ITEM_BYTES) this.#flush(content, load)
      while (load.underWay.size >= MAX_ITEMS_UNDER_WAY) await Promise.race(load.underWay)
    }
    this.#check()
  }

  async finish(): Promise<number> {
    this.#split(() => this.#splitter.finish())
    await this.#placeByEngine()
    for (const [content, load] of this.#loads) if (load.blocks.bytes > 0) this.#flush(content, load)
    await Promise.all([...this.#loads.values()].flatMap((load) => [...load.underWay]))
    this.#check()
    return this.#splitter.rowCount
  }

  #check(): void {
    this.#scope.slot.check()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Refusals of the splitter are errors of the data. */
  #split(work: () => void): void {
    try {
      work()
    } catch (error) {
      const plan = (error as { plan?: Parameters<typeof refusal>[0] }).plan
      throw plan === undefined ? error : refusal(plan)
    }
  }

  #rows(content: number, bytes: Uint8Array): void {
    if (content === ALL_CONTENTS) for (const one of this.#contents) this.#add(one, bytes)
    else this.#add(content === ANY_CONTENT ? pickContent(this.#contents.length) : content, bytes)
  }

  #add(content: number, bytes: Uint8Array): void {
    let load = this.#loads.get(content)
    if (load === undefined) {
      load = { blocks: new CopyBlocks(), underWay: new Set() }
      this.#loads.set(content, load)
    }
    load.blocks.add(bytes)
  }

  async #placeByEngine(): Promise<void> {
    const rows = this.#unplaced.splice(0)
    if (rows.length === 0) return
    const questions: EngineHash[] = []
    for (const row of rows) contentOfKey(row.key, this.#contents.length, undefined, questions)
    const unique = [...new Map(questions.map((question) => [question.id, question])).values()]
    const hashes = await askEngine(this.#scope, unique)
    for (const row of rows) this.#add(contentOfKey(row.key, this.#contents.length, hashes, []), row.bytes)
  }

  #flush(content: number, load: Load): void {
    const bytes = Buffer.concat([queryMessage(this.#plan.segmentSql), ...load.blocks.take(), COPY_DONE])
    if (this.#failure !== undefined) return
    const run = this.#transaction.run(content, {
      bytes,
      syncs: 1,
      settings: this.#scope.settings,
      write: true,
    })
    const done: Promise<void> = run.promise
      .then(
        (result) => {
          const error = firstErrorMessage(result.output)
          if (error !== undefined) this.#failure ??= SqlError.fromBytes(error)
        },
        (error: unknown) => {
          this.#failure ??= asError(error)
        },
      )
      .finally(() => load.underWay.delete(done))
    load.underWay.add(done)
  }
}
