"""What a client is refused, with words that say why."""


def refused(what, words, act):
    try:
        act()
    except Exception as error:
        assert any(word in str(error) for word in words), f"{what}: {error}"
        print(f"refused: {what}")
        return
    raise AssertionError(f"{what} was not refused")
