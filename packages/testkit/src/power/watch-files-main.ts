/**
 * Loaded before the program in each process and thread of a test cluster (`--import`): notes what is written to the files of its host and not made durable. What is
 * written is written, and what is synced is synced, as without it.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { folderKeyOf, NameStore } from './name-store.ts'
import { keyOf } from './undo-files.ts'
import { keepOf, UNDO_VARIABLE, UndoStore } from './undo-store.ts'
import { watchNames } from './watch-names.ts'

/** What is only read by people. */
const UNWATCHED = /\/log\/|\.(log|out)$/

type AnyFunction = (this: unknown, ...args: never[]) => unknown

const dir = process.env[UNDO_VARIABLE]
if (dir !== undefined) await watch(new UndoStore(dir))

async function watch(store: UndoStore): Promise<void> {
  const root = `${process.cwd()}/`
  const watched = new Map<string, boolean>()
  const { fstatSync, readlinkSync } = fs
  const isWatched = (path: string): boolean => `${path}/`.startsWith(root) && !UNWATCHED.test(path)

  /** The file, when it is one of the host's. */
  const fileOf = (fd: number): { key: string; size: number; isFolder: boolean } | undefined => {
    const stat = fstatSync(fd, { bigint: true })
    const isFolder = stat.isDirectory()
    if (!stat.isFile() && !isFolder) return undefined
    const key = isFolder ? folderKeyOf(stat) : keyOf(stat)
    let is = watched.get(key)
    if (is === undefined) {
      is = isWatched(readlinkSync(`/proc/self/fd/${fd}`))
      watched.set(key, is)
    }
    return is ? { key, size: Number(stat.size), isFolder } : undefined
  }
  /** Of unknown place: any of it. */
  const writes = (fd: number, position: unknown, length: unknown): void => {
    const file = fileOf(fd)
    if (file === undefined) return
    if (typeof position === 'number' && typeof length === 'number')
      store.note(file.key, fd, file.size, position, length)
    else store.note(file.key, fd, file.size, 0, file.size)
  }
  const truncates = (fd: number, length: unknown): void => {
    const file = fileOf(fd)
    const to = typeof length === 'number' ? length : 0
    if (file !== undefined) store.note(file.key, fd, file.size, to, Math.max(0, file.size - to))
  }
  const syncing = (fd: number): (() => void) | undefined => {
    const file = fileOf(fd)
    return file === undefined ? undefined : store.syncing(file.key, file.isFolder)
  }

  const replace = (target: object, name: string, make: (really: AnyFunction) => AnyFunction): void => {
    const methods = target as Record<string, AnyFunction>
    const really = methods[name]
    if (really !== undefined) methods[name] = make(really)
  }
  const before = (target: object, name: string, note: (fd: number, args: readonly unknown[]) => void): void =>
    replace(
      target,
      name,
      (really) =>
        function (this: unknown, ...args: never[]) {
          const fd = (this as { readonly fd?: number } | undefined)?.fd
          const [first, ...rest] = args as readonly unknown[]
          if (fd === undefined) note(first as number, rest)
          else note(fd, args)
          return really.apply(this, args)
        },
    )

  const write = (fd: number, [data, offset, length, position]: readonly unknown[]): void => {
    if (typeof offset === 'number' && typeof length === 'number') return writes(fd, position, length)
    const bytes = ArrayBuffer.isView(data) ? data.byteLength : undefined
    writes(fd, undefined, bytes)
  }
  for (const name of ['writeSync', 'write']) before(fs, name, write)
  for (const name of ['ftruncateSync', 'ftruncate']) before(fs, name, (fd, [length]) => truncates(fd, length))
  for (const name of ['fsyncSync', 'fdatasyncSync'])
    replace(
      fs,
      name,
      (really) =>
        function (this: unknown, ...args: never[]) {
          const synced = syncing(args[0] as unknown as number)
          really.apply(this, args)
          synced?.()
        },
    )
  for (const name of ['fsync', 'fdatasync'])
    replace(
      fs,
      name,
      (really) =>
        function (this: unknown, ...args: never[]) {
          const [fd, done] = args as unknown as [number, (error: Error | null) => void]
          const synced = syncing(fd)
          const told = (error: Error | null): void => {
            if (error === null) synced?.()
            done(error)
          }
          return really.apply(this, [fd, told] as never[])
        },
    )

  const opened = await fs.promises.open('/dev/null')
  const handles = Object.getPrototypeOf(opened) as object
  await opened.close()
  before(handles, 'write', write)
  for (const name of ['writeFile', 'appendFile', 'writev'])
    before(handles, name, (fd) => writes(fd, undefined, undefined))
  before(handles, 'truncate', (fd, [length]) => truncates(fd, length))
  for (const name of ['sync', 'datasync'])
    replace(
      handles,
      name,
      (really) =>
        async function (this: unknown, ...args: never[]) {
          const synced = syncing((this as { readonly fd: number }).fd)
          await really.apply(this, args)
          synced?.()
        },
    )
  const names = new NameStore(store.dir, keepOf(process.cwd()))
  watchNames(names, isWatched)
  syncBuiltinESMExports()
}
