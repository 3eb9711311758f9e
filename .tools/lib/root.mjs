// Where the checkout is, and the small file helpers that every tool shares.
import { readdirSync, existsSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Absolute path of the checkout, wherever it was cloned to. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '')

/** Path inside the checkout, always with forward slashes. */
export const inRoot = (path) => relative(root, path).split(sep).join('/')

/** Folder names below packages/ that hold a package.json, sorted. */
export const packageNames = () =>
  readdirSync(join(root, 'packages'))
    .filter((name) => existsSync(join(root, 'packages', name, 'package.json')))
    .sort()

const skipped = new Set(['node_modules', 'dist', '.git', '.tap', 'coverage', '.mirabelle'])

/** Every file below `folder` (absolute), without what is installed or built. Missing folder: none. */
export function filesBelow(folder) {
  if (!existsSync(folder)) return []
  const found = []
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (skipped.has(entry.name)) continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) found.push(...filesBelow(path))
    else if (entry.isFile()) found.push(path)
  }
  return found.sort()
}
