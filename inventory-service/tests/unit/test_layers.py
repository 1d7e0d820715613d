from chassis.testing.layers import LayerRules


class TestLayers(LayerRules):
    pass
