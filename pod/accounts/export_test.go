package accounts

// CheapHashes makes hashing cost next to nothing, for tests that are not about it.
func (a *Accounts) CheapHashes() {
	a.hasher.passes, a.hasher.memory = 1, 8
	a.hasher.nobody = a.hasher.format(random(saltSize), random(keySize))
}
