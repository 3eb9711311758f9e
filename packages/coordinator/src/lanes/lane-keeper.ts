/**
 * Keeps a lane attached to the acting primary of its content: opens the backend, resolves what was prepared there, tries again after a loss.
 * Started with the dispatcher; ended by `stop`. Never gives up: whether a content can be served is for FTS to say.
 */
import { isMirabelleError, MirabelleError } from '@mirabelle/messages'
import type { Clock, Logger, Timer } from '@mirabelle/runtime'
import { resolvePrepared } from '../dtx/resolver.ts'
import type { DtxRegistry } from '../dtx/registry.ts'
import type { OpenBackend } from './lane-backend.ts'
import type { Lane } from './lane.ts'

const FIRST_RETRY_MS = 5
const LONGEST_RETRY_MS = 25

export interface LaneKeeperOptions {
  readonly lane: Lane
  readonly registry: DtxRegistry
  readonly clock: Clock
  readonly log: Logger
}

export class LaneKeeper {
  readonly #options: LaneKeeperOptions
  #target: { readonly key: string; readonly open: OpenBackend } | undefined
  #busy = false
  #retry: Timer | undefined
  #retryMs = FIRST_RETRY_MS
  #stopped = false

  constructor(options: LaneKeeperOptions) {
    this.#options = options
  }

  /** `key` names the instance and its role period; the same key again changes nothing. */
  setTarget(key: string, open: OpenBackend): void {
    if (this.#target?.key === key) return
    this.#target = { key, open }
    this.#options.lane.detach(
      new MirabelleError('not.primary', `content ${this.#options.lane.content} has another primary now`),
    )
    this.#retryMs = FIRST_RETRY_MS
    this.#soon(0)
  }

  /** The backend is gone: open it again. */
  lost(): void {
    this.#retryMs = FIRST_RETRY_MS
    this.#soon(0)
  }

  stop(): void {
    this.#stopped = true
    this.#retry?.clear()
  }

  #soon(ms: number): void {
    if (this.#stopped) return
    this.#retry?.clear()
    this.#retry = this.#options.clock.setTimer(ms, () => void this.#attach())
  }

  async #attach(): Promise<void> {
    const target = this.#target
    // An attempt under way looks again when it ends.
    if (target === undefined || this.#stopped || this.#busy) return
    const { lane, registry, log } = this.#options
    this.#busy = true
    try {
      await lane.attach(target.open, (run) => resolvePrepared(lane.content, run, registry, log))
      if (lane.isOpen) {
        this.#retryMs = FIRST_RETRY_MS
        log.info({ content: lane.content, target: target.key }, 'lane open')
      }
    } catch (error) {
      log.debug(
        {
          content: lane.content,
          target: target.key,
          code: isMirabelleError(error) ? error.code : 'internal',
          err: error,
        },
        'lane could not be opened yet',
      )
    } finally {
      this.#busy = false
    }
    if (this.#target !== target) this.#soon(0)
    else if (!lane.isOpen) {
      this.#soon(this.#retryMs)
      this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS)
    }
  }
}
