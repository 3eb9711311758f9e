/** The disk port over a map, for readers of files: whole files by path, nothing durable. */
import type { Disk, FileHandle } from '@mirabelle/runtime'

const missing = (path: string): Error => Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
const notNeeded = (): never => {
  throw new Error('a reader writes')
}

/** Files by path. `writeFileDurable` and `makeDir` work, as readers of state make their folder. */
export function memoryDisk(files: Map<string, Uint8Array>): Disk {
  return {
    open(path) {
      const content = files.get(path)
      return content === undefined ? Promise.reject(missing(path)) : Promise.resolve(fileOf(content))
    },
    readFile(path) {
      const content = files.get(path)
      return content === undefined ? Promise.reject(missing(path)) : Promise.resolve(content)
    },
    writeFileDurable(path, content) {
      files.set(path, Buffer.from(content))
      return Promise.resolve()
    },
    list(path) {
      const inside = [...files].filter(([name]) => name.startsWith(`${path}/`))
      const entries = inside.map(([name, content]) => ({
        name: name.slice(path.length + 1),
        isDirectory: false,
        size: content.length,
      }))
      return Promise.resolve(entries.sort((a, b) => (a.name < b.name ? -1 : 1)))
    },
    exists: (path) =>
      Promise.resolve(files.has(path) || [...files.keys()].some((name) => name.startsWith(`${path}/`))),
    makeDir: () => Promise.resolve(),
    rename: notNeeded,
    remove: notNeeded,
    syncDir: () => Promise.resolve(),
    freeBytes: notNeeded,
  }
}

function fileOf(content: Uint8Array): FileHandle {
  return {
    read: (position, length) =>
      Promise.resolve(content.subarray(position, Math.min(content.length, position + length))),
    size: () => Promise.resolve(content.length),
    close: () => Promise.resolve(),
    sync: () => Promise.resolve(),
    write: notNeeded,
    truncate: notNeeded,
    reserve: notNeeded,
  }
}
