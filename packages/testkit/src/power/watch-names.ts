/** Replaces the functions of node:fs that rename and delete by ones that note it first. Called once, in each process and thread that is watched. */
import fs from 'node:fs'
import { resolve } from 'node:path'
import type { NameStore } from './name-store.ts'

type AnyFunction = (this: unknown, ...args: never[]) => unknown

/** `isWatched`: whether a path is one of the host. */
export function watchNames(names: NameStore, isWatched: (path: string) => boolean): void {
  const renames = (first: unknown, second: unknown): void => {
    const [from, to] = [pathOf(first), pathOf(second)]
    if (isWatched(from) && isWatched(to)) names.renames(from, to)
  }
  const deletes = (first: unknown): void => {
    const path = pathOf(first)
    if (isWatched(path)) names.deletes(path)
  }
  for (const target of [fs, fs.promises]) {
    for (const name of ['rename', 'renameSync']) before(target, name, renames)
    for (const name of ['unlink', 'unlinkSync', 'rm', 'rmSync']) before(target, name, deletes)
  }
}

function before(target: object, name: string, note: (...args: readonly unknown[]) => void): void {
  const methods = target as Record<string, AnyFunction>
  const really = methods[name]
  if (really === undefined) return
  methods[name] = function (this: unknown, ...args: never[]) {
    note(...args)
    return really.apply(this, args)
  }
}

/** Paths of the project are text; of others nothing is noted. */
function pathOf(path: unknown): string {
  return typeof path === 'string' ? resolve(path) : ''
}
