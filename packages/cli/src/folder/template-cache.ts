/** Where templates of data directories are kept: once a user, because making one takes seconds, and nowhere that another user could write. */
import { lstat, mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The user's cache folder when it is safe to use, else a folder inside the cluster's own. MIRABELLE_TEMPLATE_DIR overrides both. */
export async function templateDir(clusterDir: string): Promise<string> {
  const wanted = process.env['MIRABELLE_TEMPLATE_DIR']
  if (wanted !== undefined && wanted !== '') return wanted
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const shared = join(cache, 'mirabelle', 'templates')
  return (await isSafe(shared)) ? shared : join(clusterDir, 'templates')
}

/** True when the folder exists now, is a real folder, belongs to this user, and nobody else may write to it. */
async function isSafe(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const found = await lstat(folder)
    return (
      found.isDirectory() && found.uid === (process.getuid?.() ?? found.uid) && (found.mode & 0o022) === 0
    )
  } catch {
    return false // a home that cannot be written is no reason to fail: the cluster's own folder takes its place
  }
}
