/** Readers of what administrators write: `mirabelle/describe`. */
export { parseClusterYaml } from './cluster-yaml.ts'
export { parseAddFile, parseMoveFile, parseRecoverFile } from './mirror-file.ts'
export { parseClusterFile, type ClusterFile } from '../folder/cluster-file.ts'
