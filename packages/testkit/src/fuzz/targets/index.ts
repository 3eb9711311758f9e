/** All targets, by name. */
import type { FuzzTarget } from '../fuzz-target.ts'
import { clusterJson, clusterYaml, mirrorFiles } from './cluster-files.ts'
import { controlFile } from './control-file.ts'
import { copyRows } from './copy-rows.ts'
import { frames } from './frames.ts'
import { frontDoor } from './front-door.ts'
import { handshake } from './handshake.ts'
import { handshakeOpener } from './handshake-opener.ts'
import { history } from './history.ts'
import { hostFiles } from './host-files.ts'
import { pgMessages } from './pg-messages.ts'
import { scram } from './scram.ts'
import { settings } from './settings.ts'
import { sql } from './sql.ts'
import { wal } from './wal.ts'
import { walFiles } from './wal-files.ts'

export const fuzzTargets: readonly FuzzTarget[] = [
  frames,
  handshake,
  handshakeOpener,
  pgMessages,
  frontDoor,
  scram,
  copyRows,
  sql,
  wal,
  walFiles,
  history,
  clusterJson,
  clusterYaml,
  mirrorFiles,
  hostFiles,
  controlFile,
  settings,
]
