/** What a process has written to its log since a moment: the proof that it noticed something. */
import { readFile } from 'node:fs/promises'

export class LogWatch {
  readonly #paths: readonly string[]
  readonly #from: ReadonlyMap<string, number>

  private constructor(paths: readonly string[], from: ReadonlyMap<string, number>) {
    this.#paths = paths
    this.#from = from
  }

  /** Lines written from now on count. */
  static async of(...paths: string[]): Promise<LogWatch> {
    const from = new Map<string, number>()
    for (const path of paths) from.set(path, (await textOf(path)).length)
    return new LogWatch(paths, from)
  }

  /** The lines so far. */
  async lines(): Promise<string[]> {
    const texts = await Promise.all(
      this.#paths.map(async (path) => (await textOf(path)).slice(this.#from.get(path) ?? 0)),
    )
    return texts.flatMap((text) => text.split('\n').filter((line) => line !== ''))
  }

  /** The lines that match. */
  async matching(pattern: RegExp): Promise<string[]> {
    return (await this.lines()).filter((line) => pattern.test(line))
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
