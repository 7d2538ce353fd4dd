"""What the server tells programs that have no session."""

import httpx


async def test_metrics_are_served_without_a_session_and_name_nobody(client: httpx.AsyncClient) -> None:
    client.cookies.clear()
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "# TYPE instar_model_choices_total counter" in answer.text
    assert "Ada" not in answer.text
