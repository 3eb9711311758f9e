/**
 * Which coordinators an instance obeys (I4): none of a lower epoch than it has promised. Owned by the instance actor. Promise: an epoch is
 * told, and a request of it let in, only after it is durable and no statement of an older coordinator can run any more.
 */
import { MirabelleError, type Content, type Dbid, type Epoch } from '@mirabelle/messages'
import type { Logger } from '@mirabelle/runtime'
import type { DurableState } from '../state/durable-state.ts'

export interface EpochGuardOptions {
  readonly dbid: Dbid
  readonly content: Content
  readonly log: Logger
  readonly durable: () => DurableState
  /** Throws when this instance may not obey a higher epoch but has been replaced by it (the coordinator itself). */
  readonly mayRaise: (epoch: Epoch, who: string) => void
  /** Ends what older coordinators still run. */
  readonly onRaised: (epoch: Epoch) => Promise<void>
  /** Older statements could not be ended: nothing may be promised any more. */
  readonly onFatal: (error: unknown) => void
}

export class EpochGuard {
  readonly #options: EpochGuardOptions
  /** Raises, one after the other. */
  #barrier: Promise<void> = Promise.resolve()

  constructor(options: EpochGuardOptions) {
    this.#options = options
  }

  /** Lets a request of `epoch` in, or throws `epoch.stale`. A higher epoch is promised first. */
  async admit(epoch: Epoch, who: string): Promise<void> {
    this.#refuseLower(epoch, who)
    if (epoch > this.#options.durable().epoch) {
      this.#options.mayRaise(epoch, who)
      await this.raise(epoch)
    } else await this.#barrier
    // A still higher one may have come meanwhile.
    this.#refuseLower(epoch, who)
  }

  /** Promises an epoch; resolves when that holds. Rejects when it could not be made durable. */
  raise(epoch: Epoch): Promise<void> {
    const raised = this.#barrier.then(() => this.#raise(epoch))
    this.#barrier = raised.catch(() => undefined)
    return raised
  }

  async #raise(epoch: Epoch): Promise<void> {
    const { durable, log, onRaised, onFatal } = this.#options
    if (epoch <= durable().epoch) return
    await durable().raiseEpoch(epoch)
    log.info({ epoch }, 'epoch promised')
    try {
      await onRaised(epoch)
    } catch (error) {
      onFatal(error)
      throw error
    }
  }

  #refuseLower(epoch: Epoch, who: string): void {
    const { dbid, content, durable } = this.#options
    const promised = durable().epoch
    if (epoch >= promised) return
    throw new MirabelleError(
      'epoch.stale',
      `${who} of epoch ${epoch} is refused: dbid ${dbid} of content ${content} has promised epoch ${promised}`,
      { detail: { epoch: promised } },
    )
  }
}
