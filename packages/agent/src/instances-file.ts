/** `instances.json` of a host: which instances it has, and which of them are to run. Written by the agent after each change. */
import { diskFullOr } from '@mirabelle/messages'
import { faults, type Ports } from '@mirabelle/runtime'
import { instancesFile, type KnownInstance } from './agent-config.ts'

export class InstancesFile {
  readonly #ports: Ports
  readonly #dir: string
  readonly #picture: () => readonly KnownInstance[]
  #written: Promise<unknown> = Promise.resolve()
  /** What the file holds, as far as that is known. */
  #text: string | undefined

  /** `picture` says what is so now. */
  constructor(ports: Ports, dir: string, picture: () => readonly KnownInstance[]) {
    this.#ports = ports
    this.#dir = dir
    this.#picture = picture
  }

  /** Writes down what is so now, durably; one after the other, so that an older picture never replaces a newer one. Rejects with `disk.full`. */
  remember(): Promise<void> {
    const done = this.#written.then(() => this.#write())
    this.#written = done.catch(() => undefined) // told to the one who asked
    return done
  }

  async #write(): Promise<void> {
    const known = this.#picture()
    if (faults !== undefined) await faults.at('agent.remember')
    const text = `${JSON.stringify(known, null, 2)}\n`
    if (text === this.#text) return
    try {
      this.#text = undefined
      await this.#ports.disk.writeFileDurable(instancesFile(this.#dir), text)
      this.#text = text
    } catch (error) {
      throw diskFullOr(error, this.#dir)
    }
  }
}
