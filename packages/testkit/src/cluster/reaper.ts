/** The reaper as its test sees it: started with the cluster's folder, asked to clean up, and there even when the test can no more ask. */
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The compiled entry, also when this module runs from source. */
const script = fileURLToPath(new URL('../../dist/cluster/reaper-main.js', import.meta.url))

export class Reaper {
  readonly #child: ChildProcess
  readonly #ended: Promise<number | null>

  constructor(dir: string) {
    this.#child = spawn(process.execPath, [script, dir], {
      detached: true,
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('exit', (code) => resolve(code))
    })
    this.#ended.catch(() => undefined) // told to the one who asks for the clean up
    this.#child.unref()
  }

  /** Ends all processes of the cluster and deletes its folder. Rejects when that did not succeed. */
  async cleanUp(): Promise<void> {
    this.#child.ref()
    this.#child.stdin?.end()
    const code = await this.#ended
    if (code !== 0) throw new Error(`the clean up of the test cluster ended with status ${code}`)
  }
}
